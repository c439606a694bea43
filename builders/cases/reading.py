"""Case files for a run, from wherever they come: files of cases, a knowledge graph, or real consultations.

Whatever real people said is masked before a case is made of it.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from builders.cases.from_consultation import case_from_consultation
from builders.cases.from_graph import cases_from_graph
from builders.engine.entities.lexicon import Lexicon
from builders.engine.errors import Reject
from builders.engine.intake import Intake, TakenIn, clinic, described, figures_of, files_described, named
from builders.engine.privacy.mask import mask_all
from builders.sources.consultations import Broken
from builders.sources.knowledge import Graph
from builders.sources.known import CASE_FORMATS, FORMATS, detect, read_cases
from schemas.base import Figure
from schemas.case import CaseFile
from schemas.settings import InputError

GRAPH = "graph"
"""Format of a knowledge graph."""


class CaseRead(NamedTuple):
    """One case of a source, or why there is none."""

    key: str
    case: CaseFile | None
    reason: str = ""
    detail: str = ""
    masked: tuple[Figure, ...] = ()


class Cases:
    """The `--cases` of a command line."""

    def __init__(
        self, inputs: tuple[str, ...], *, format: str | None, columns: str | None, scratch: Path, seed: int, lexicon: Lexicon
    ) -> None:  # fmt: skip
        self._inputs = inputs
        self._scratch = scratch
        self._seed = seed
        self._lexicon = lexicon
        self._intake: Intake | None = None
        self.format = _known(format) if format else "columns" if columns else _detected(inputs)
        self._read: Callable[[], Iterator[CaseRead]]
        if self.format == GRAPH:
            self._read = self._of_graph
        elif self.format in CASE_FORMATS:
            self._read = self._of_files
        else:
            self._intake = Intake(inputs, format=self.format, columns=columns, scratch=scratch)
            self._read = self._of_consultations

    def __iter__(self) -> Iterator[CaseRead]:
        """Every case, in the order of the source."""
        return self._read()

    def described(self) -> tuple[str, ...]:
        """The source for the card."""
        if self.format == GRAPH:
            return files_described(map(Path, self._inputs), "knowledge graph")
        return self._intake.described() if self._intake else described(self._inputs, self.format)

    def _of_files(self) -> Iterator[CaseRead]:
        for key, case in read_cases(self._inputs, self.format, self._scratch):
            if isinstance(case, Broken):
                (reason,) = mask_all([case.reason]).texts
                yield CaseRead(named(key), None, "unreadable", f"{named(case.place)}: {reason}")
                continue
            safe, masked = masked_case(case)
            if not safe.complaint and not safe.facts_for("patient"):
                yield CaseRead(
                    named(key), None, "nothing for the patient to tell", safe.model_dump_json()[:300], masked
                )
            else:
                yield CaseRead(named(key), safe, masked=masked)

    def _of_graph(self) -> Iterator[CaseRead]:
        for name in self._inputs:
            for case in cases_from_graph(Graph.read(Path(name)), self._seed):
                yield CaseRead(f"{GRAPH}/{case.id}", case)

    def _of_consultations(self) -> Iterator[CaseRead]:
        assert self._intake is not None
        for taken in self._intake:
            yield self._of_consultation(taken, self._intake)

    def _of_consultation(self, taken: TakenIn, intake: Intake) -> CaseRead:
        if taken.consultation is None:
            return CaseRead(taken.key, None, "unreadable", f"{taken.place}: {taken.flaw}", taken.masked)
        origin = {"id": taken.key, "source": intake.format.name, "license": intake.format.license}
        try:
            case = case_from_consultation(taken.consultation, diseases=self._diseases, **origin)
        except Reject as verdict:
            return CaseRead(taken.key, None, verdict.reason, verdict.detail, taken.masked)
        return CaseRead(taken.key, case, masked=taken.masked)

    def _diseases(self, text: str) -> Sequence[str]:
        return [found.value for found in self._lexicon.mentions(text) if found.kind == "disease" and not found.negated]


def _known(format: str) -> str:
    known = [GRAPH, *CASE_FORMATS, *FORMATS]
    if format in known:
        return format
    close = difflib.get_close_matches(format, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(f"--format {format}: no such format{hint}; there are {', '.join(known)}")


def _detected(inputs: tuple[str, ...]) -> str:
    if found := detect(inputs):
        return found
    raise InputError(f"--cases {', '.join(inputs)}: what its rows are cannot be told; name it with --format")


def masked_case(case: CaseFile) -> tuple[CaseFile, tuple[Figure, ...]]:
    """A case with private things masked, and how many of each kind there were."""
    about = [case.complaint, case.diagnosis, case.advice, case.department]
    facts = [text for fact in case.facts for text in (fact.name, fact.value)]
    masked = mask_all([*about, *facts])
    complaint, diagnosis, advice, department, *told = masked.texts
    words = {"complaint": complaint, "diagnosis": diagnosis, "advice": advice, "department": clinic(department)}
    safe = tuple(
        fact.model_copy(update={"name": name, "value": value})
        for fact, name, value in zip(case.facts, told[::2], told[1::2], strict=True)
    )
    return case.model_copy(update={**words, "id": named(case.id), "facts": safe}), figures_of(masked.counts)
