"""Two models hold consultations over case files, a patient's and a doctor's: HuatuoGPT's third data set.

    python -m builders.simulate_dialogues --cases cases.jsonl --doctor rehearsal --patient rehearsal --rows 100 --out build/simulated
    python -m builders.simulate_dialogues --cases graph/ --format graph --doctor qwen-max@dashscope --patient qwen-plus@dashscope

The patient sees what a patient knows and opens short; the doctor has the conclusion as the only one allowed and must ask
before he says it (arXiv 2305.15075, appendix A.2). Every turn is in the ledger, so a run that was cut off goes on inside
its dialogues. What each consultation is worth is measured and stays in its row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from schemas.dialogue import Consultation, SimulatedDialogue
from schemas.settings import BuildSettings, run_command
from schemas.source_settings import Columns

if TYPE_CHECKING:
    from builders.cases.reading import CaseRead
    from builders.engine.ask import Ask
    from builders.engine.plan import Plan
    from builders.engine.run import Workshop
    from builders.engine.steps import Steps
    from schemas.base import Provenance


class SimulateDialogues(BuildSettings):
    """Have a patient model and a doctor model hold consultations over case files."""

    command: ClassVar[str] = "simulate_dialogues"
    data_flags: ClassVar[tuple[str, ...]] = ("cases",)

    cases: tuple[str, ...]
    """Where the cases come from: case files, a knowledge graph, or real questions, answers and consultations."""
    format: str | None = None
    """How a row is understood: case, ai_hospital, huatuo_cases, graph, or any format of real consultations. Default: told from it."""
    columns: Columns | None = None
    """For real rows of no known format: which column holds what, e.g. question=ask,answer=reply."""
    words: tuple[Path, ...] = ()
    """More medical words to measure with: a file or folder of word lists, one kind of word each."""
    doctor: str | None = None
    """Model that plays the doctor, as MODEL[@ENDPOINT]; default: the --teacher."""
    patient: str | None = None
    """Model that plays the patient, as MODEL[@ENDPOINT]; default: the --teacher."""
    out: Path = Path("build/simulated")
    """Folder to write the data set to; it is a Hub repository as it stands."""
    per_case: int = Field(default=1, ge=1)
    """How many consultations to hold over each case."""
    max_turns: int = Field(default=8, ge=1)
    """End a consultation after so many turns of each, if neither has ended it."""
    end_by: Literal["word", "flag"] = "word"
    """How a model ends it: by saying 再见, or (for models that do not keep to it) by a flag beside its words."""
    min_questions: int = Field(default=1, ge=0)
    """Reject a consultation in which the doctor asks fewer questions than this."""
    max_contradictions: int = Field(default=0, ge=0)
    """Reject a consultation in which the patient speaks more often than this against the case."""
    keep_flawed: bool = False
    """Keep consultations with a premature diagnosis, contradictions, leaks or no conclusion; each row says which."""


def flaw_of(found: Consultation, settings: SimulateDialogues, *, concluded: bool) -> tuple[str, str] | None:
    """Why a consultation is not worth keeping, and what was seen; None when it is."""
    if found.leaks:
        return "leaks the chart", "; ".join(found.leaks)
    if found.premature:
        return "premature diagnosis", f"named in the doctor's turn {found.first_diagnosis}, before any question"
    if found.questions < settings.min_questions:
        return "doctor hardly asked", f"{found.questions} questions"
    if len(found.contradictions) > settings.max_contradictions:
        return "patient contradicts the case", "; ".join(found.contradictions)
    if not concluded:
        return "no conclusion", f"after {settings.max_turns} turns of each"
    return None


class Simulation:
    """The builder of a run."""

    def __init__(self, settings: SimulateDialogues) -> None:
        from builders.cases.reading import Cases
        from builders.engine.entities.lexicon import Lexicon
        from builders.engine.intake import scratch_of
        from builders.engine.patient import Ending

        self.settings = settings
        self._lexicon = Lexicon.read(settings.words)
        self._ending = Ending(by_flag=settings.end_by == "flag")
        self.cases = Cases(
            settings.cases,
            format=settings.format,
            columns=settings.columns,
            scratch=scratch_of(settings),
            seed=settings.seed,
            lexicon=self._lexicon,
        )

    def seeds(self) -> "Iterator[tuple[CaseRead, int]]":
        """Every case, as often as it is to be heard."""
        for read in self.cases:
            for sample in range(self.settings.per_case if read.case else 1):
                yield read, sample

    def steps(self, _: "Workshop") -> "Steps[tuple[CaseRead, int]]":
        """Take cases from the beginning until enough consultations are accepted."""
        from builders.engine.steps import in_order

        return in_order(self.seeds(), self.build, key=key_of, rows=self.settings.wanted)

    async def build(self, seed: "tuple[CaseRead, int]", ask: "Ask") -> Sequence[SimulatedDialogue]:
        """Hold one consultation; raises Reject."""
        from builders.curation.labels import labelled
        from builders.engine.errors import Reject
        from builders.engine.wording import check_private
        from builders.simulation.consultation import consult
        from builders.simulation.measures import measured

        read, sample = seed
        case = read.case
        if case is None:
            raise Reject(read.reason, read.detail)
        held = await consult(case, ask, max_turns=self.settings.max_turns, ending=self._ending, sample=sample)
        turns = labelled(held.turns)
        found = measured(turns, case, held.ended, self._lexicon)
        concluded = any(turn.act in ("advise", "both") for turn in turns)
        flaw = None if self.settings.keep_flawed else flaw_of(found, self.settings, concluded=concluded)
        if flaw:
            raise Reject(flaw[0], f"{flaw[1]} | {told(held.turns)}")
        for turn in turns:
            check_private(turn.text)
        row = SimulatedDialogue(
            origin="distilled",
            key=key_of(seed),
            department=case.department,
            turns=turns,
            case=case,
            measured=found,
        )
        return [row.model_copy(update={"provenance": self._provenance(read, row)})]

    def _provenance(self, read: "CaseRead", row: SimulatedDialogue) -> "Provenance":
        from schemas.base import Figure, Provenance

        found = row.measured
        figures = {
            "turns": len(row.turns) // 2,
            "questions": found.questions,
            "inquiry_rate": round(row.inquiry_rate, 3),
            "facts_to_elicit": found.slots,
            "facts_elicited": len(found.elicited),
            "premature_diagnosis": found.premature,
            "contradictions": len(found.contradictions),
            "leaks": len(found.leaks),
        }
        return Provenance(
            source=row.case.source or self.cases.format,
            source_row=row.case.id,
            source_license=row.case.license,
            filters=(*read.masked, *(Figure(name=name, value=value) for name, value in figures.items())),
        )

    def plan(self) -> "Plan":
        """What the run asks at least, if a consultation takes four turns of each."""
        import itertools

        from builders.engine.plan import Plan, Step, tokens_of
        from builders.prompts import prompt

        first = [read.case for read in itertools.islice(self.cases, LOOKED_AT) if read.case]
        total = self.settings.rows or sum(1 for _ in self.seeds())
        chart = sum(len(case.model_dump_json()) for case in first) // max(1, len(first))
        steps = []
        for name in ("patient", "doctor"):
            tokens = tokens_of([prompt(f"simulate_{name}").system]) + chart + TURNS * TOKENS_A_TURN
            steps.append(Step("answers", total * TURNS, tokens, TOKENS_A_TURN, by=name))
        return Plan(tuple(steps))


LOOKED_AT = 50
TURNS = 4
TOKENS_A_TURN = 80


def key_of(seed: "tuple[CaseRead, int]") -> str:
    """The case, and which of its consultations."""
    read, sample = seed
    return f"{read.key}#{sample}"


def told(turns: Sequence[object]) -> str:
    """Turns as JSON, for those who read what was rejected."""
    import pydantic_core

    return pydantic_core.to_json(turns, exclude_none=True).decode()[:4000]


def main(settings: SimulateDialogues) -> int:
    """Read cases, hold consultations, measure, release."""
    from builders.engine.intake import files_described
    from builders.engine.produce import Job, produce
    from builders.prompts import prompt

    named = {who: getattr(settings, who) or settings.teacher for who in ("doctor", "patient")}
    settings = settings.model_copy(update=named)
    simulation = Simulation(settings)
    job = Job(
        config="simulated_dialogues",
        family=SimulatedDialogue,
        speakers=("doctor", "patient"),
        prompts=(prompt("simulate_patient").use, prompt("simulate_doctor").use),
        steps=simulation.steps,
        plan=simulation.plan,
        inputs=(*simulation.cases.described(), *files_described(settings.words, "medical words")),
    )
    return produce(settings, job)


if __name__ == "__main__":
    run_command(SimulateDialogues, main)
