"""Real consultations, put in order, de-identified, and with the doctor's side in better words: HuatuoGPT's fourth data set.

    python -m builders.curate_dialogues consultations/ --format cmdd --teacher rehearsal --out build/dialogues
    python -m builders.curate_dialogues consultations/ --format cmdd --as-spoken --min-inquiry-rate 0.3 --out build/as-spoken

Bubbles become turns, the description goes first, talk of pictures and booking and goodbyes at the end are cut. The
patient's words stay as they are; the doctor's are rewritten under the entity guard (arXiv 2305.15075, §3.1; 2308.03549, §3.2).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from schemas.dialogue import RealDialogue, Turn
from schemas.settings import InputError, run_command
from schemas.source_settings import SourceSettings

if TYPE_CHECKING:
    from builders.curation.curate import Curated
    from builders.curation.rewriting import Reworded
    from builders.engine.ask import Ask
    from builders.engine.intake import TakenIn
    from builders.engine.plan import Plan
    from builders.engine.run import Workshop
    from builders.engine.steps import Steps
    from builders.sources.knowledge import Graph
    from schemas.base import Figure, Origin


class CurateDialogues(SourceSettings):
    """Put real consultations in order and have a teacher reword the doctor's side, with nothing medical changed."""

    command: ClassVar[str] = "curate_dialogues"

    out: Path = Path("build/dialogues")
    """Folder to write the data set to; it is a Hub repository as it stands."""
    as_spoken: bool = False
    """Leave the doctor's words as they are; no teacher is asked to reword them."""
    min_turns: int = Field(default=2, ge=1)
    """Leave out consultations of fewer turns of each."""
    expand: bool = False
    """Have the teacher make a consultation of those that are too short; such rows say `expanded`."""
    expand_to: int = Field(default=3, ge=2)
    """Turns of the doctor in an expanded consultation."""
    knowledge: Path | None = None
    """Knowledge graph to hold the doctor's statements against; a consultation that it contradicts is rejected."""
    min_inquiry_rate: float = Field(default=0, ge=0, le=1)
    """Reject a consultation in which a smaller share of the doctor's turns asks something."""
    max_jaccard: float = Field(default=0.8, gt=0, le=1)
    """Leave out a consultation whose character 5-gram Jaccard with an earlier one reaches this."""


class Chosen(NamedTuple):
    """A consultation in order, or with the reason why it is left out."""

    taken: "TakenIn"
    curated: "Curated | None"
    reason: str
    detail: str


def choose(settings: CurateDialogues, intake: "Iterator[TakenIn]") -> Iterator[Chosen]:
    """Every row of the source, in its order."""
    from builders.curation.curate import curate
    from builders.engine.dedup.index import NearIndex
    from builders.engine.dedup.scheme import LONG_NGRAM
    from builders.engine.errors import Reject

    near = NearIndex(settings.max_jaccard, ngram=LONG_NGRAM)
    for taken in intake:
        if taken.consultation is None:
            yield Chosen(taken, None, "unreadable", taken.flaw)
            continue
        try:
            consultation = taken.consultation
            curated = curate(consultation.utterances, consultation.description or consultation.title)
            _check_worth(curated, settings)
        except Reject as verdict:
            yield Chosen(taken, None, verdict.reason, verdict.detail)
            continue
        text = "\n".join(turn.text for turn in curated.turns)
        if (twin := near.nearest(text)).key:
            yield Chosen(taken, curated, "near-duplicate", f"Jaccard {twin.score:.3f} with {twin.key}")
            continue
        near.add(taken.key, text)
        yield Chosen(taken, curated, "", "")


def _check_worth(curated: "Curated", settings: CurateDialogues) -> None:
    """Raise Reject for a consultation that no rewording can make long enough, or ask enough."""
    from builders.curation.labels import labelled
    from builders.engine.errors import Reject

    short = len(curated.turns) < 2 * settings.min_turns
    if short and not settings.expand:
        raise Reject("too few turns", f"{len(curated.turns) // 2} of each; --expand makes more of them")
    rate = RealDialogue(origin="real", key="", turns=labelled(turns_of(curated))).inquiry_rate
    if not short and rate < settings.min_inquiry_rate:
        raise Reject("asks too little", f"inquiry rate {rate:.2f}")


class Curation:
    """The builder of a run."""

    def __init__(self, settings: CurateDialogues) -> None:
        from builders.curation.rewriting import Rewriter
        from builders.engine.entities.lexicon import Lexicon
        from builders.engine.intake import intake_of
        from builders.sources.knowledge import Graph

        self.settings = settings
        self.intake = intake_of(settings)
        self._lexicon = Lexicon.read(settings.words)
        self._rewriter = Rewriter(self._lexicon)
        self._graph = Graph.read(settings.knowledge) if settings.knowledge else None
        if self._graph:
            say_what_was_left_out(self._graph)

    def steps(self, _: "Workshop") -> "Steps[Chosen]":
        """Read the source from its beginning until enough rows are accepted."""
        from builders.engine.steps import in_order

        chosen = choose(self.settings, iter(self.intake))
        return in_order(chosen, self.build, key=lambda seed: seed.taken.key, rows=self.settings.wanted)

    async def build(self, seed: Chosen, ask: "Ask") -> Sequence[RealDialogue]:
        """One consultation to its row; raises Reject."""
        from builders.curation.claims import judged_claims
        from builders.curation.labels import labelled
        from builders.engine.errors import Reject

        if seed.reason:
            raise Reject(seed.reason, seed.detail)
        assert seed.curated is not None
        assert seed.taken.consultation is not None
        made, origin = await self._worded(turns_of(seed.curated), ask)
        row = RealDialogue(
            origin=origin,
            key=seed.taken.key,
            department=seed.taken.consultation.department,
            turns=labelled(made.turns),
        )
        if row.inquiry_rate < self.settings.min_inquiry_rate:
            raise Reject("asks too little", f"inquiry rate {row.inquiry_rate:.2f}")
        claims = await judged_claims(row.turns, self._graph, self._lexicon, ask) if self._graph else ()
        if wrong := [claim for claim in claims if claim.verdict == "contradicted"]:
            raise Reject("contradicted by the graph", f"{wrong[0].text} | {wrong[0].fact}")
        provenance = self.intake.provenance(seed.taken, figures(seed.curated, made, row))
        return [row.model_copy(update={"claims": claims, "provenance": provenance})]

    async def _worded(self, turns: Sequence[Turn], ask: "Ask") -> "tuple[Reworded, Origin]":
        from builders.curation.rewriting import Reworded

        if self.settings.expand and len(turns) < 2 * self.settings.min_turns:
            question, answer = "\n".join(turn.text for turn in turns[:-1]), turns[-1].text
            return await self._rewriter.expand(question, answer, self.settings.expand_to, ask), "expanded"
        if self.settings.as_spoken:
            return Reworded(tuple(turns), 0, 0), "real"
        return await self._rewriter.rewrite(turns, ask), "rewritten"

    def plan(self) -> "Plan":
        """What the run asks at least; tokens are those of the source's first rows."""
        import itertools
        import statistics

        from builders.engine.plan import Plan, Step, tokens_of
        from builders.prompts import prompt

        first = [one for one in itertools.islice(choose(self.settings, iter(self.intake)), LOOKED_AT) if one.curated]
        texts = [[turn.text for turn in one.curated.turns] for one in first if one.curated]
        said = round(statistics.fmean(sum(map(len, text)) for text in texts)) if texts else 0
        rows = self.settings.rows or self.intake.rows()
        system = tokens_of([prompt("rewrite_doctor").system])
        steps = [] if self.settings.as_spoken else [Step("answers", rows, system + said, said)]
        if self.settings.knowledge:
            steps.append(Step("answers", rows, tokens_of([prompt("check_claims").system]) + 2 * said, 200))
        return Plan(tuple(steps))


LOOKED_AT = 50


def say_what_was_left_out(graph: "Graph") -> None:
    """Tell of lines and files of a graph that hold no fact."""
    import sys

    if graph.rejected:
        first = graph.rejected[0]
        print(
            f"--knowledge: {len(graph.rejected)} lines hold no fact, the first is {first.place}: {first.reason}",
            file=sys.stderr,
        )
    if graph.passed_over:
        print(f"--knowledge: not read: {', '.join(graph.passed_over)}", file=sys.stderr)


def turns_of(curated: "Curated") -> tuple[Turn, ...]:
    """The turns of a consultation, as they were said."""
    return tuple(Turn(speaker=said.speaker, text=said.text) for said in curated.turns)


def figures(curated: "Curated", made: "Reworded", row: RealDialogue) -> "tuple[Figure, ...]":
    """What was done to a consultation, in figures."""
    from builders.curation.labels import labelled
    from schemas.base import Figure

    before = row.model_copy(update={"turns": labelled(turns_of(curated))})
    found = {
        "bubbles": curated.bubbles,
        "merged": curated.merged,
        "offtopic_cut": curated.offtopic.total(),
        "farewells_cut": curated.farewells,
        "unanswered_cut": curated.unanswered,
        "turns": len(row.turns) // 2,
        "inquiry_rate_before": round(before.inquiry_rate, 3),
        "inquiry_rate": round(row.inquiry_rate, 3),
        "entities_kept": made.kept,
        "turns_retried": made.retries,
    }
    return tuple(Figure(name=name, value=value) for name, value in found.items())


def main(settings: CurateDialogues) -> int:
    """Read, mask, put in order, reword, guard, release."""
    from builders.engine.intake import files_described
    from builders.engine.produce import Job, produce
    from builders.prompts import prompt

    asks = {
        "rewrite_doctor": not settings.as_spoken,
        "expand_dialogue": settings.expand,
        "check_claims": settings.knowledge is not None,
    }
    uses = [name for name, used in asks.items() if used]
    if not uses and settings.teacher:
        raise InputError("--as-spoken: nobody is asked; leave out --teacher, or add --expand or --knowledge")
    curation = Curation(settings)
    job = Job(
        config="real_dialogues",
        family=RealDialogue,
        speakers=("teacher",) if uses else (),
        prompts=tuple(prompt(name).use for name in uses),
        steps=curation.steps,
        plan=curation.plan,
        inputs=(
            *curation.intake.described(),
            *files_described(settings.words, "medical words"),
            *files_described([settings.knowledge] if settings.knowledge else [], "knowledge graph"),
        ),
    )
    return produce(settings, job)


if __name__ == "__main__":
    run_command(CurateDialogues, main)
