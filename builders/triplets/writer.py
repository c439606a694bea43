"""Ask a teacher for the triplets of one call of one cell."""

import random
from collections.abc import Sequence

from builders.engine.ask import Ask, Asking
from builders.engine.errors import Reject
from builders.engine.grid import Batch, size_of
from builders.engine.run import Workshop
from builders.prompts import prompt
from builders.sources.seed_tasks import HumanSeed
from builders.triplets.shapes import Candidate, Flawed, Triplet, Triplets
from schemas.base import Message, canonical
from schemas.taxonomy import Taxonomy

HUMAN_EXAMPLES = 3
POOL_EXAMPLES = 2


class TripletWriter:
    """Step 1: the triplets of call k of a cell."""

    def __init__(
        self, taxonomy: Taxonomy, seeds: Sequence[HumanSeed], seed: int, workshop: Workshop | None = None
    ) -> None:
        self._taxonomy = taxonomy
        self._seeds = seeds
        self._seed = seed
        self._workshop = workshop

    def messages(self, cell: str, k: int, earlier: Sequence[Candidate]) -> list[Message]:
        """The prompt of call k: a function of the seed, the cell, k, the human seeds and the pool up to k - 8."""
        department, role = cell.split("/")
        rng = random.Random(f"{self._seed}/{cell}/{k}")
        asked_for = {
            "department": self._taxonomy.departments[department].zh,
            "role": self._taxonomy.roles[role].zh,
            "wants": self._taxonomy.roles[role].wants,
            "count": size_of(k),
            "intents": {id: f"{intent.zh}：{intent.about}" for id, intent in self._taxonomy.intents.items()},
            "examples": [*self._human(role, rng), *self._pool(earlier, rng)],
        }
        return prompt("distill_triplets").messages(asked_for)

    async def fetch(self, cell: str, k: int, earlier: Sequence[Candidate], /, *, free: bool) -> Batch[Candidate]:
        """Buy or recall call k, and ask once more for the items that were no triplets, and for those only."""
        assert self._workshop is not None
        ask = Asking(self._workshop.switchboard, free=free)
        try:
            items: Sequence[Triplet | Flawed] = await self._ask(ask, self.messages(cell, k, earlier), size_of(k))
        except Reject as verdict:
            items = [Flawed(why=verdict.reason, seen=verdict.detail)]
        calls = tuple(heard.key for heard in ask.heard)
        origin = {
            "calls": calls,
            "teachers": tuple(dict.fromkeys(heard.by for heard in ask.heard)),
            "rehearsal": any(heard.rehearsal for heard in ask.heard),
        }
        self._workshop.measure("triplets", ask.heard)
        made = [{"flawed": item} if isinstance(item, Flawed) else {"triplet": item} for item in items]
        return Batch([Candidate(**origin, **one) for one in made], calls, any(heard.fresh for heard in ask.heard))

    async def _ask(self, ask: Ask, messages: list[Message], count: int) -> list[Triplet | Flawed]:
        first = await ask(messages, shape=Triplets)
        items = [self._with_known_intent(item) for item in first.triplets[:count]]
        flawed = [(number, item) for number, item in enumerate(items) if isinstance(item, Flawed)]
        if not flawed:
            return items
        wrong = "；".join(f"第 {number + 1} 项（{item.why}）" for number, item in flawed)
        said = canonical({"triplets": [item.model_dump() for item in items]})
        complaint = f"这些任务不合要求：{wrong}。请只重写这 {len(flawed)} 项，按同样的 JSON 格式返回。"
        correction = [Message(role="assistant", content=said), Message(role="user", content=complaint)]
        again = await ask([*messages, *correction], shape=Triplets)
        for (number, _), item in zip(flawed, again.triplets, strict=False):
            items[number] = self._with_known_intent(item)
        return items

    def _with_known_intent(self, item: Triplet | Flawed) -> Triplet | Flawed:
        if isinstance(item, Flawed) or item.intent is None or item.intent in self._taxonomy.intents:
            return item
        return Flawed(why=f"intent: {item.intent!r} is not among the intents", seen=item.model_dump_json()[:300])

    def _human(self, role: str, rng: random.Random) -> list[dict[str, str]]:
        """Three human seeds: up to two of the cell's own role, the rest from anybody."""
        own = [seed for seed in self._seeds if seed.role == role]
        chosen = rng.sample(own, min(HUMAN_EXAMPLES - 1, len(own)))
        others = [seed for seed in self._seeds if seed not in chosen]
        chosen += rng.sample(others, min(HUMAN_EXAMPLES - len(chosen), len(others)))
        return [{"character": one.character, "instruction": one.instruction, "input": one.input} for one in chosen]

    def _pool(self, earlier: Sequence[Candidate], rng: random.Random) -> list[dict[str, str]]:
        """Two examples of the cell's own, before any filter."""
        written = [candidate.triplet for candidate in earlier if candidate.triplet]
        chosen = rng.sample(written, min(POOL_EXAMPLES, len(written)))
        return [one.model_dump(include={"character", "instruction", "input"}) for one in chosen]
