"""Real doctors' answers, polished by a teacher that may change no medicine: HuatuoGPT's second data set.

    python -m builders.polish_qa answers.csv --format toyhom --teacher rehearsal --out build/polished
    python -m builders.polish_qa answers.csv --format toyhom --teacher gpt-5-mini@openai --rows 1000 --max-usd 2

Private things are masked before anything leaves the machine. Answers that are advertisements, cut, repeat themselves, only
send to hospital or say what an earlier one said are not polished. What comes back is held against the doctor's words:
diagnoses, drugs, doses, tests, sides, frequencies and negations must all be there, and no others (arXiv 2305.15075, §3.1;
the rules and the guard are ours).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from schemas.qa import QA
from schemas.settings import run_command
from schemas.source_settings import SourceSettings

if TYPE_CHECKING:
    from builders.engine.ask import Ask
    from builders.engine.intake import TakenIn
    from builders.engine.plan import Plan
    from builders.engine.run import Workshop
    from builders.engine.steps import Steps


class PolishQA(SourceSettings):
    """Polish real doctors' answers with a teacher model, and keep those whose medicine is unchanged."""

    command: ClassVar[str] = "polish_qa"

    out: Path = Path("build/polished")
    """Folder to write the data set to; it is a Hub repository as it stands."""
    mode: Literal["polished", "distilled"] = "polished"
    """distilled: also have the teacher answer each question alone, as a second row; what HuatuoGPT is compared with."""
    min_answer: int = Field(default=10, ge=1)
    """Leave out answers shorter than this many characters."""
    max_jaccard: float = Field(default=0.8, gt=0, le=1)
    """Leave out a question with answer whose character 5-gram Jaccard with an earlier one reaches this."""
    max_length_ratio: float = Field(default=4, gt=1)
    """Reject a polished answer more than so many times as long as the doctor's."""


class Chosen(NamedTuple):
    """A real answer on its way: worth polishing, or with the reason why not."""

    taken: "TakenIn"
    question: str
    answer: str
    reason: str
    detail: str


def choose(settings: PolishQA, intake: "Sequence[TakenIn] | Iterator[TakenIn]") -> Iterator[Chosen]:
    """Every row of the source, in its order; near-duplicates are told by the earlier rows that were worth polishing."""
    from builders.engine.dedup.index import NearIndex
    from builders.engine.dedup.scheme import LONG_NGRAM
    from builders.engine.errors import Reject
    from builders.polishing.selection import check

    near = NearIndex(settings.max_jaccard, ngram=LONG_NGRAM)
    for taken in intake:
        if taken.consultation is None:
            yield Chosen(taken, "", "", "unreadable", taken.flaw)
            continue
        try:
            question, answer = check(taken.consultation, min_answer=settings.min_answer)
        except Reject as verdict:
            yield Chosen(taken, "", "", verdict.reason, verdict.detail)
            continue
        text = f"{question}\n{answer}"
        if (twin := near.nearest(text)).key:
            yield Chosen(taken, question, answer, "near-duplicate", f"Jaccard {twin.score:.3f} with {twin.key}")
            continue
        near.add(taken.key, text)
        yield Chosen(taken, question, answer, "", "")


class Polishing:
    """The builder of a run."""

    def __init__(self, settings: PolishQA) -> None:
        from builders.engine.entities.guard import Guard
        from builders.engine.entities.lexicon import Lexicon
        from builders.engine.intake import intake_of
        from builders.polishing.polisher import Polisher

        self.settings = settings
        self.intake = intake_of(settings)
        self._polish = Polisher(Guard(Lexicon.read(settings.words)), longest=settings.max_length_ratio)

    def steps(self, _: "Workshop") -> "Steps[Chosen]":
        """Read the source from its beginning until enough rows are accepted."""
        from builders.engine.steps import in_order

        chosen = choose(self.settings, iter(self.intake))
        return in_order(chosen, self.build, key=lambda seed: seed.taken.key, rows=self.settings.wanted)

    async def build(self, seed: Chosen, ask: "Ask") -> Sequence[QA]:
        """One real answer to its row, or two with --mode distilled; raises Reject."""
        from builders.engine.errors import Reject
        from schemas.base import Figure

        if seed.reason:
            raise Reject(seed.reason, seed.detail)
        assert seed.taken.consultation is not None
        polished = await self._polish(seed.question, seed.answer, ask)
        row = QA(
            origin="rewritten",
            key=seed.taken.key,
            department=seed.taken.consultation.department,
            question=seed.question,
            raw=seed.answer,
            answer=polished.text,
            provenance=self.intake.provenance(seed.taken, polished.figures),
        )
        if self.settings.mode == "polished":
            return [row]
        alone = await distilled(seed.question, ask)
        figures = (Figure(name="answer_chars", value=len(alone)),)
        counterpart = {"origin": "distilled", "key": f"{row.key}#distilled", "answer": alone}
        return [row, row.model_copy(update=counterpart | {"provenance": self.intake.provenance(seed.taken, figures)})]

    def plan(self) -> "Plan":
        """What the run asks at least; tokens are those of the source's first rows."""
        import itertools
        import statistics

        from builders.engine.plan import Plan, Step, tokens_of
        from builders.prompts import prompt

        first = [one for one in itertools.islice(choose(self.settings, iter(self.intake)), LOOKED_AT) if not one.reason]
        asked = [prompt("polish_answer").messages({"question": one.question, "answer": one.answer}) for one in first]
        tokens = round(statistics.fmean(map(tokens_of, asked))) if asked else 0
        written = round(statistics.fmean(len(one.answer) for one in first)) if first else 0
        rows = self.settings.rows or self.intake.rows()
        polish = Step("answers", rows, tokens, written)
        return Plan(
            (polish, Step("answers", rows, tokens // 2, 500)) if self.settings.mode == "distilled" else (polish,)
        )


LOOKED_AT = 50


async def distilled(question: str, ask: "Ask") -> str:
    """The teacher's own answer to a question; raises Reject when it is none."""
    from builders.engine import filters
    from builders.engine.errors import Reject
    from builders.engine.wording import check_private, speaks_of_the_task, unwrapped
    from builders.prompts import prompt

    answer = unwrapped(await ask(prompt("distill_answer").messages({"instruction": question, "input": ""})))
    flaw = filters.first_reason(
        [
            filters.length(answer, least=20, most=8000),
            filters.refuses(answer),
            filters.beyond_text(answer),
            filters.repeats_itself(answer),
            speaks_of_the_task(answer),
        ]
    )
    if flaw:
        raise Reject(f"distilled: {flaw}", answer[:300])
    check_private(answer)
    return answer


def main(settings: PolishQA) -> int:
    """Read, mask, choose, polish, guard, release."""
    from builders.engine.intake import files_described
    from builders.engine.produce import Job, produce
    from builders.prompts import prompt

    polishing = Polishing(settings)
    uses = ("polish_answer", "distill_answer") if settings.mode == "distilled" else ("polish_answer",)
    job = Job(
        config="polished_qa",
        family=QA,
        prompts=tuple(prompt(name).use for name in uses),
        steps=polishing.steps,
        plan=polishing.plan,
        inputs=(*polishing.intake.described(), *files_described(settings.words, "medical words")),
    )
    return produce(settings, job)


if __name__ == "__main__":
    run_command(PolishQA, main)
