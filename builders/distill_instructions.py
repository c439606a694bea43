"""A teacher writes instructions for every department and role, then answers them: HuatuoGPT's first data set.

    python -m builders.distill_instructions --teacher rehearsal --rows 200 --out build/instructions
    python -m builders.distill_instructions --teacher gpt-5-mini@openai --rows 20 --max-usd 0.50 --out build/first-look

Step 1: a call brings up to 20 〈role, instruction, input〉 triplets for one cell (department × role), shown 3 human
seeds and 2 examples from the cell's own pool. Step 2: instruction + input, answered. The grid is filled to exactly
--rows accepted rows (arXiv 2305.15075, appendix A.1; the quotas and filters are ours).
"""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from schemas.base import Figure, Message, Provenance
from schemas.instruction import Instruction
from schemas.settings import BuildSettings, InputError, run_command
from schemas.taxonomy import NO_ROLE, Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from builders.engine.ask import Ask
    from builders.engine.grid import Picked
    from builders.engine.plan import Plan
    from builders.engine.run import Workshop
    from builders.engine.steps import Steps
    from builders.sources.seed_tasks import HumanSeed
    from builders.triplets.shapes import Candidate, Triplet


class DistillInstructions(BuildSettings):
    """Distil department- and role-conditioned medical instructions from a teacher model into a released data set."""

    command: ClassVar[str] = "distill_instructions"

    rows: int = Field(default=200, gt=0)
    """How many accepted rows to build."""
    out: Path = Path("build/instructions")
    """Folder to write the data set to; it is a Hub repository as it stands."""
    departments: tuple[str, ...] = ("huatuo",)
    """Departments, in either language, comma-separated; `huatuo` is HuatuoGPT's twenty, `all` is the whole taxonomy."""
    roles: tuple[str, ...] = ("all",)
    """Who is asking, in either language, comma-separated; `none` asks with no role given."""
    taxonomy: Path | None = None
    """TOML file that adds departments, roles and intents, or aliases of known ones."""
    seeds: Path | None = None
    """More human seeds: JSON or JSON Lines in the format of Alpaca, self-instruct, Belle or AlpaCare, or our own."""
    max_rouge_l: float = Field(default=0.7, gt=0, le=1)
    """Reject an instruction whose ROUGE-L with any accepted one reaches this."""
    max_jaccard: float = Field(default=0.8, gt=0, le=1)
    """Reject an instruction with input whose character 3-gram Jaccard with any accepted one reaches this."""
    min_answer: int = Field(default=20, ge=1)
    """Reject an answer shorter than this many characters."""


def cells(taxonomy: Taxonomy, settings: DistillInstructions) -> list[str]:
    """Every department × role that makes sense, as DEPARTMENT/ROLE.

    In the order of the diagonals of the shuffled grid: the first D cells, for D departments, name each of them once, so
    that a grid with fewer rows than cells still treats all departments and roles alike.
    """
    rng = random.Random(f"cells {settings.seed}")
    departments = list(taxonomy.select_departments(settings.departments))
    roles = list(taxonomy.select_roles(settings.roles))
    rng.shuffle(departments)
    rng.shuffle(roles)
    grid = [
        (department, roles[(place + shift) % len(roles)])
        for shift in range(len(roles))
        for place, department in enumerate(departments)
    ]
    sensible = [f"{department}/{role}" for department, role in grid if department not in taxonomy.roles[role].never_in]
    if not sensible:
        raise InputError("--departments, --roles: these roles are never seen in these departments")
    return sensible


def answer_prompt(triplet: "Triplet") -> list[Message]:
    """Step 2's question: instruction and input, as data."""
    from builders.prompts import prompt

    return prompt("distill_answer").messages({"instruction": triplet.instruction, "input": triplet.input})


class Answerer:
    """Step 2, the builder proper: a triplet to a row."""

    def __init__(self, min_answer: int) -> None:
        self._min_answer = min_answer

    async def __call__(self, picked: "Picked[Candidate]", ask: "Ask") -> Sequence[Instruction]:
        """Ask for the answer and keep it when it passes; raises Reject."""
        from builders.engine.errors import Reject

        candidate, triplet = picked.item, picked.item.triplet
        assert triplet is not None
        answer = await ask(answer_prompt(triplet))
        if reason := self._flaw(answer):
            raise Reject(reason, answer[:300])
        department, role = picked.cell.split("/")
        row = Instruction(
            key=picked.key,
            department=department,
            role=role,
            character="" if role == NO_ROLE else triplet.character,
            intent=triplet.intent,
            instruction=triplet.instruction.strip(),
            input=triplet.input.strip(),
            output=answer.strip(),
            provenance=Provenance(
                source="distill_instructions",
                source_row=picked.key,
                calls=candidate.calls,
                teachers=candidate.teachers,
                rehearsal=candidate.rehearsal,
                filters=(*candidate.figures, Figure(name="answer_chars", value=len(answer.strip()))),
            ),
        )
        return [row]

    def _flaw(self, answer: str) -> str | None:
        from builders.engine import filters

        bad_length = filters.length(answer, least=self._min_answer, most=8000)
        flaw = filters.first_reason(
            [
                bad_length,
                filters.refuses(answer),
                filters.beyond_text(answer),
                filters.repeats_itself(answer),
            ]
        )
        return flaw and f"answer: {flaw}"


class Distillation:
    """The grid of a run: vocabulary, human seeds, and the two steps that fill it."""

    def __init__(self, settings: DistillInstructions) -> None:
        from builders.sources.seed_tasks import OWN, read_seeds

        self.settings = settings
        self.taxonomy = load_taxonomy(settings.taxonomy)
        self.cells = cells(self.taxonomy, settings)
        self.files = [read_seeds(path, self.taxonomy) for path in (OWN, settings.seeds) if path]
        self.human: list[HumanSeed] = [seed for file in self.files for seed in file.seeds]

    def steps(self, workshop: "Workshop") -> "Steps[Picked[Candidate]]":
        """Wire the grid to a run."""
        from builders.engine.quota import Quota
        from builders.engine.steps import Steps
        from builders.triplets.judge import TripletJudge
        from builders.triplets.writer import TripletWriter

        settings = self.settings
        writer = TripletWriter(self.taxonomy, self.human, settings.seed, workshop)
        judge = TripletJudge(
            self.human,
            max_rouge_l=settings.max_rouge_l,
            max_jaccard=settings.max_jaccard,
            is_paid=lambda triplet: workshop.switchboard.is_paid(answer_prompt(triplet)),
        )
        quota = Quota(
            self.cells,
            settings.rows,
            fetch=writer.fetch,
            judge=judge,
            on_reject=lambda picked, verdict: workshop.reject(picked.key, verdict, picked.item.model_dump_json()),
            at_once=settings.in_flight,
            stop_after=settings.pilot,
            on_turned_down=workshop.verdict,
            paid_first=workshop.switchboard.watermark > 0,
        )
        return Steps(
            seeds=quota,
            build=Answerer(settings.min_answer),
            key=lambda picked: picked.key,
            order=lambda picked, _: picked.order,
            calls_read=quota.calls_read,
            surplus=quota.surplus,
            shortfall=lambda: shortfall(quota.saturated(), quota.shortfall, settings.rows),
            coverage=quota.reached,
        )

    def inputs(self) -> tuple[str, ...]:
        """What went in besides the teacher: seeds, and a vocabulary of the user's own."""
        named = {file.name: file.sha256 for file in self.files}
        if own := self.settings.taxonomy:
            named[own.name] = hashlib.sha256(own.read_bytes()).hexdigest()
        return tuple(f"{name} (sha256 {digest})" for name, digest in named.items())

    def plan(self) -> "Plan":
        """What the run will ask at least: the calls that are needed even if every item is accepted."""
        from builders.engine.grid import size_of
        from builders.engine.plan import Plan, Step, tokens_of
        from builders.prompts import prompt
        from builders.triplets.writer import TripletWriter

        writer = TripletWriter(self.taxonomy, self.human, self.settings.seed)
        sizes = [size_of(k) for k in calls_for(self.settings.rows, len(self.cells))]
        asked = tokens_of(writer.messages(self.cells[0], 0, []))
        answer_prompt = tokens_of(prompt("distill_answer").messages({"instruction": "问" * 30, "input": "述" * 60}))
        triplets = Step("triplets", len(sizes), asked, round(TOKENS_A_TRIPLET * sum(sizes) / len(sizes)))
        return Plan((triplets, Step("answers", self.settings.rows, answer_prompt, TOKENS_AN_ANSWER)))


TOKENS_A_TRIPLET = 110
TOKENS_AN_ANSWER = 500
"""What --dry-run assumes of a teacher that nobody has measured; --pilot measures it."""


def calls_for(rows: int, cells: int) -> list[int]:
    """The call numbers, over all cells, that fill the grid when every item is accepted."""
    from builders.engine.grid import size_of

    each, rest = divmod(rows, cells)
    calls: list[int] = []
    for need in (each + (rank < rest) for rank in range(cells)):
        k = 0
        while need > 0:
            calls.append(k)
            need -= size_of(k)
            k += 1
    return calls


def shortfall(saturated: list[str], missing: int, rows: int) -> str | None:
    """Why the grid could not be filled, or None when it was."""
    if not missing:
        return None
    named = ", ".join(saturated[:5]) + (" …" if len(saturated) > 5 else "")
    return f"{rows - missing} of {rows} rows: every cell is saturated, its last calls gave under 5 % new rows ({named})"


def main(settings: DistillInstructions) -> int:
    """Read the vocabulary and the seeds, fill the grid, release."""
    from builders.engine.produce import Job, produce
    from builders.prompts import prompt

    distillation = Distillation(settings)
    job = Job(
        config="distilled_instructions",
        family=Instruction,
        prompts=(prompt("distill_triplets").use, prompt("distill_answer").use),
        steps=distillation.steps,
        plan=distillation.plan,
        inputs=distillation.inputs(),
    )
    return produce(settings, job)


if __name__ == "__main__":
    run_command(DistillInstructions, main)
