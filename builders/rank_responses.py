"""Several answers of a policy to real prompts, ranked by a judge or by people: what a reward model is trained on.

    python -m builders.rank_responses --policy my-sft@vllm --judge gpt-5-mini@openai --data build/polished --rows 2000
    python -m builders.rank_responses --policy my-sft@vllm --data build/polished --export-sheet sheet.csv --out build/candidates
    python -m builders.rank_responses --people li.csv --people wang.csv --data build/candidates --out build/preferences

HuatuoGPT has an LLM judge answers with the doctor's own as reference; Zhongjing has two doctors rank them and a third
adjudicate. Either way a prompt gives pairs of a better and a worse answer, each with the weight 1 / C(K, 2). A judge reads
the answers in both orders, and what the orders do not agree on is a tie.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from schemas.preference import Preference
from schemas.settings import BuildSettings, InputError, run_command
from schemas.source_settings import Columns

if TYPE_CHECKING:
    from builders.engine.ask import Ask
    from builders.engine.plan import Plan
    from builders.engine.produce import Job
    from builders.engine.run import Workshop
    from builders.engine.steps import Steps
    from builders.ranking.answers import Gathered
    from builders.ranking.candidates import Candidates
    from builders.ranking.prompts_of import Question


class RankResponses(BuildSettings):
    """Have a policy answer every prompt several times, and a judge or people rank the answers."""

    command: ClassVar[str] = "rank_responses"
    data_flags: ClassVar[tuple[str, ...]] = ("data",)

    data: tuple[str, ...] = ()
    """Prompts, repeatable: a release FOLDER[:CONFIG], any table with messages or real questions and answers, ORG/NAME[@REV][:CONFIG]."""
    split: Literal["train", "validation", "test", "all"] = "train"
    """Of --data in splits, this one; what was held out for evaluation stays out of the rewards, too."""
    format: str | None = None
    """How a row of --data without messages is understood, e.g. toyhom, cmdd; default: told from its columns."""
    columns: Columns | None = None
    """For rows of no known format: which column holds what, e.g. question=ask,answer=reply."""
    policy: str | None = None
    """Model whose answers are ranked, the one to be trained, as MODEL[@ENDPOINT]; default: the --teacher."""
    judge: str | None = None
    """Model that marks the answers, as MODEL[@ENDPOINT]; default: the --teacher."""
    rows: int | None = Field(default=None, gt=0)
    """How many prompts to rank so that a pair comes of it (a prompt gives up to C(K, 2) rows); without it, all there are."""
    answers: int = Field(default=4, ge=2)
    """K: how often the policy answers each prompt."""
    temperature: float = Field(default=0.8, ge=0, le=2)
    """Sampling temperature of the policy, where its endpoint takes one; under 0.7 the answers are hardly different."""
    with_reference: bool = False
    """Rank the doctor's own answer among them; the judge has it as the reference all the same."""
    max_jaccard: float = Field(default=0.9, gt=0, le=1)
    """Leave out an answer whose character 3-gram Jaccard with another to the same prompt reaches this."""
    rubric: str = "huatuo"
    """What the judge marks: huatuo, zhongjing (safety before professionalism before fluency), or a TOML file FILE[:NAME]."""
    margin: float = Field(default=0.5, ge=0, le=10)
    """How many marks apart two answers must be; nearer ones tie."""
    people: tuple[Path, ...] = ()
    """Import rankings instead: sheets (CSV) that annotators have filled in, or JSON exports of Label Studio."""
    export_sheet: Path | None = None
    """Have nobody judge: write the answers to a blind sheet, FILE.csv or, for Label Studio, FILE.json; and to --out (build/candidates) who wrote them."""
    out: Path = Path("build/preferences")
    """Folder to write the data set to; it is a Hub repository as it stands."""

    def for_the_record(self) -> dict[str, Any]:
        """As ever; of a rubric's file its name alone, and of sheets their number: they may be called after annotators."""
        return super().for_the_record() | {"rubric": Path(self.rubric).name, "people": len(self.people)}


class Responses:
    """What a run does that asks the policy: gathers its answers, and ranks them or keeps them for people."""

    def __init__(self, settings: RankResponses) -> None:
        from builders.engine.intake import scratch_of
        from builders.ranking.prompts_of import Questions
        from schemas.rubrics import known_rubric

        if not settings.data:
            raise InputError(
                "--data: name the rows whose questions are to be answered, or import rankings with --people"
            )
        self.settings = settings
        self.rubric = known_rubric(settings.rubric)
        self.questions = Questions(
            settings.data,
            split=settings.split,
            format=settings.format,
            columns=settings.columns,
            scratch=scratch_of(settings),
        )
        self._names: dict[str, str] = {}

    def steps(self, workshop: "Workshop") -> "Steps[Question]":
        """Take prompts from the beginning until enough of them gave pairs."""
        from builders.engine.steps import in_order

        self._names = {name: str(teacher.served) for name, teacher in workshop.switchboard.teachers.items()}
        build = self.keep if self.settings.export_sheet else self.build
        return in_order(iter(self.questions), build, key=lambda seed: seed.key, rows=self.settings.wanted)

    async def build(self, seed: "Question", ask: "Ask") -> Sequence[Preference]:
        """The pairs of one prompt, by the judge; raises Reject."""
        from builders.engine.errors import Reject
        from builders.engine.judge import mark_all
        from builders.ranking.pairs import by_judge, rows_of

        gathered = await self._gather(seed, ask)
        texts = [answer.text for answer in gathered.answers]
        marked = await mark_all(ask, self.rubric, seed.prompt, texts, reference=seed.reference)
        ranked = by_judge(
            gathered.answers, marked, self.rubric, margin=self.settings.margin, judge=self._names["judge"]
        )
        if not ranked.pairs:
            raise Reject(
                "no preference", f"{len(texts)} answers, all nearer than {self.settings.margin:g} marks or in doubt"
            )
        return rows_of(
            ranked._replace(figures=(*gathered.figures, *ranked.figures)),
            group=seed.key,
            prompt=seed.prompt,
            reference=seed.reference,
            department=seed.department,
            provenance=seed.provenance,
        )

    async def keep(self, seed: "Question", ask: "Ask") -> "Sequence[Candidates]":
        """The answers to one prompt, for people to rank; raises Reject."""
        from builders.ranking.candidates import Candidates

        gathered, known = await self._gather(seed, ask), seed.provenance
        row = Candidates(
            key=seed.key,
            origin="distilled",
            form="conversation" if sum(said.role == "user" for said in seed.prompt) > 1 else "instruction",
            department=seed.department,
            prompt=seed.prompt,
            reference=seed.reference,
            answers=gathered.answers,
            provenance=known.model_copy(update={"filters": (*known.filters, *gathered.figures)}),
        )
        return [row]

    async def _gather(self, seed: "Question", ask: "Ask") -> "Gathered":
        from builders.engine.errors import Reject
        from builders.ranking.answers import gather

        if seed.reason:
            raise Reject(seed.reason, seed.detail)
        return await gather(
            seed.prompt,
            ask,
            model=self._names["policy"],
            count=self.settings.answers,
            max_jaccard=self.settings.max_jaccard,
            reference=seed.reference if self.settings.with_reference else "",
        )

    def plan(self) -> "Plan":
        """What the run asks at least: K answers a prompt, and two readings of all of them by the judge."""
        import itertools
        import statistics

        from builders.engine.plan import Plan, Step, tokens_of
        from builders.prompts import prompt

        first = [one for one in itertools.islice(self.questions, LOOKED_AT) if not one.reason]
        asked = round(statistics.fmean(tokens_of(one.prompt) for one in first)) if first else 0
        prompts, count = self.settings.rows or self.questions.rows(), self.settings.answers
        answering = Step("answers", prompts * count, asked, TOKENS_AN_ANSWER, by="policy")
        if self.settings.export_sheet:
            return Plan((answering,))
        told = tokens_of([prompt("judge_answers").system]) + sum(len(one.text) for one in self.rubric.criteria)
        read = told + asked + count * TOKENS_AN_ANSWER
        return Plan((answering, Step("answers", prompts * 2, read, count * TOKENS_A_VERDICT, by="judge")))


LOOKED_AT = 50
TOKENS_AN_ANSWER = 300
TOKENS_A_VERDICT = 100
JUDGE_TEMPERATURE = 0.0
"""What differs between two readings is then their order."""


def by_judge_job(settings: RankResponses) -> "Job":
    """The run in which a judge ranks."""
    import hashlib

    from builders.engine.produce import Job
    from builders.prompts import prompt
    from schemas.base import canonical

    asking = Responses(settings)
    digest = hashlib.sha256(canonical(asking.rubric.model_dump(mode="json")).encode()).hexdigest()
    return Job(
        config="preferences",
        family=Preference,
        speakers=("policy", "judge"),
        temperatures={"policy": settings.temperature, "judge": JUDGE_TEMPERATURE},
        prompts=(prompt("judge_answers").use,),
        steps=asking.steps,
        plan=asking.plan,
        inputs=(
            *asking.questions.described(),
            f"rubric {asking.rubric.name} (sha256 {digest})",
        ),
    )


def candidates_job(settings: RankResponses) -> "Job":
    """The run whose answers people are to rank."""
    from builders.engine.produce import Job
    from builders.ranking.candidates import CONFIG, Candidates

    asking = Responses(settings)
    return Job(
        config=CONFIG,
        family=Candidates,
        speakers=("policy",),
        temperatures={"policy": settings.temperature},
        steps=asking.steps,
        plan=asking.plan,
        inputs=asking.questions.described(),
    )


def by_people_job(settings: RankResponses) -> "Job":
    """The run that imports what people ranked; raises InputError for sheets that are not filled in as they should be."""
    from builders.engine.intake import scratch_of
    from builders.engine.produce import Job
    from builders.engine.steps import in_order
    from builders.ranking.candidates import read_candidates
    from builders.ranking.imported import Rankings

    known = {key: row for folder in settings.data for key, row in read_candidates(folder).items()}
    rankings = Rankings(settings.people, known, scratch_of(settings))
    print(rankings.told(), file=sys.stderr)
    steps = in_order(rankings, rankings.build, key=lambda seed: seed.key, rows=settings.wanted)
    inputs = tuple(rankings.described())
    return Job(config="preferences", family=Preference, speakers=(), steps=lambda _: steps, inputs=inputs)


def main(settings: RankResponses) -> int:
    """Read prompts, answer them several times, have the answers ranked, release the pairs."""
    from builders.engine.produce import produce

    if settings.people:
        if settings.export_sheet:
            raise InputError("--export-sheet: comes before --people; write the sheet in a run of its own")
        return produce(settings, by_people_job(settings))
    named = {who: getattr(settings, who) or settings.teacher for who in ("policy", "judge")}
    settings = settings.model_copy(update=named)
    return for_people(settings) if settings.export_sheet else produce(settings, by_judge_job(settings))


def for_people(settings: RankResponses) -> int:
    """Gather answers, release them with their writers, and write the sheet that hides these."""
    from builders.engine.produce import produce
    from builders.ranking.candidates import check_sheet, read_candidates, write_sheet

    sheet = settings.export_sheet
    assert sheet is not None
    check_sheet(sheet)
    if "out" not in settings.model_fields_set:
        settings = settings.model_copy(update={"out": Path("build/candidates")})
    code = produce(settings, candidates_job(settings))
    if code == 0 and not (settings.dry_run or settings.pilot):
        count = write_sheet(read_candidates(str(settings.out)).values(), sheet, settings.seed)
        back = f"python -m builders.rank_responses --people {sheet} --data {settings.out} --out build/preferences"
        print(f"{count} prompts → {sheet}, to be ranked blind\nnext, when it is filled in: {back}", file=sys.stderr)
    return code


if __name__ == "__main__":
    run_command(RankResponses, main)
