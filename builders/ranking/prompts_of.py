"""The prompts that answers are asked for: conversations up to their last question, private things masked.

The doctor's answer to that question is the reference. Thanks and goodbye at the end are left out first: four ways to
say 「不客气」 teach nobody anything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builders.curation.bubbles import Said, merge_bubbles
from builders.curation.farewells import cut_farewells
from builders.engine.errors import Reject
from builders.engine.intake import Intake, TakenIn, clinic, described, taken_in
from builders.engine.seen import Seen
from builders.ranking.inputs import Wanted, has_messages, inputs_of
from builders.sources.consultations import Broken, Consultation, RawRow, Read
from builders.sources.fields import id_of, shown, text
from builders.sources.known import count_rows
from builders.sources.messages import FORMAT as MESSAGES
from builders.sources.raw_rows import raw_rows
from schemas.base import Figure, Message, Provenance, canonical
from schemas.dialogue import Speaker
from schemas.taxonomy import load_taxonomy

ROLES: dict[Speaker, Any] = {"patient": "user", "doctor": "assistant"}


class Question(NamedTuple):
    """A conversation up to its last question, or the reason why there is none."""

    key: str
    prompt: tuple[Message, ...]
    """Ends with what the patient says; a system message stays first."""
    reference: str
    """The doctor's own answer; empty where there is none."""
    department: str
    provenance: Provenance
    reason: str = ""
    detail: str = ""


class Questions:
    """Every --data of a command line."""

    def __init__(
        self, inputs: tuple[str, ...], *, split: Wanted, format: str | None, columns: str | None, scratch: Path
    ) -> None:  # fmt: skip
        self._sources: list[_WithMessages | _Raw] = []
        for where in inputs:
            files = tuple(inputs_of(where, split))
            plain = format in (None, MESSAGES.name) and not columns
            self._sources.append(
                _WithMessages(where, files, scratch)
                if plain and has_messages(files)
                else _Raw(where, Intake(files, format=format, columns=columns, scratch=scratch))
            )

    def __iter__(self) -> Iterator[Question]:
        """Every row, in the order of the inputs; a prompt that came before is a reason not to ask again."""
        before = Seen()
        for source in self._sources:
            for question in source:
                asked = canonical([said.model_dump() for said in question.prompt])
                if not question.reason and not before.add(asked):
                    question = question._replace(reason="prompt repeated", detail=question.prompt[-1].content[:300])
                yield question

    def rows(self) -> int:
        """Rows of all inputs, as far as files can tell."""
        return sum(source.rows() for source in self._sources)

    def described(self) -> tuple[str, ...]:
        """The inputs for the card: files with their hashes, how they were understood, their licence."""
        return tuple(line for source in self._sources for line in source.described())


class _Raw:
    """Real questions and answers or consultations, in any format that is known."""

    def __init__(self, where: str, intake: Intake) -> None:
        self._where = where
        self._intake = intake

    def __iter__(self) -> Iterator[Question]:
        for taken in self._intake:
            yield question_of(taken, self._intake.provenance(taken))

    def rows(self) -> int:
        return self._intake.rows()

    def described(self) -> tuple[str, ...]:
        return self._intake.described()


class _WithMessages:
    """Rows with `messages`: of a release, whose key, department, licence and source are kept, or of any table."""

    def __init__(self, where: str, files: tuple[str, ...], scratch: Path) -> None:
        self._where = where
        self._files = files
        self._scratch = scratch

    def __iter__(self) -> Iterator[Question]:
        for raw in raw_rows(self._files, self._scratch):
            taken = taken_in(_read(raw))
            known = {} if isinstance(raw.row, Broken) else raw.row
            question = question_of(taken, _origin(known, taken, self._where))
            yield question._replace(department=known["department"]) if _has_id(known) else question

    def rows(self) -> int:
        return count_rows(self._files, MESSAGES.name, self._scratch)

    def described(self) -> tuple[str, ...]:
        return tuple(
            line for file in self._files for line in described((file,), f"messages, of {Path(self._where).name}")
        )


def _read(raw: RawRow) -> Read:
    key = f"{MESSAGES.name}/{raw.origin}"
    if isinstance(raw.row, Broken):
        return Read(key, raw.place, raw.row)
    try:
        said, own = MESSAGES.consultation(raw.row), id_of(raw.row, "key")
        department = "" if _has_id(raw.row) else text(raw.row, "department")
    except ValueError as wrong:
        return Read(key, raw.place, Broken(raw.place, str(wrong), shown(raw.row)))
    told = said.model_copy(update={"department": department})
    return Read(own or (f"{MESSAGES.name}/{said.own_id}" if said.own_id else key), raw.place, told)


def _has_id(row: Mapping[str, Any]) -> bool:
    """Whether a row names its department by an id of the taxonomy, which is nothing to be masked."""
    name = row.get("department")
    return isinstance(name, str) and name in load_taxonomy().departments


def _origin(row: Mapping[str, Any], taken: TakenIn, where: str) -> Provenance:
    """Where a row comes from: of one of ours, what it says itself."""
    known = row.get("provenance")
    if not isinstance(known, Mapping) or not isinstance(row.get("id"), str):
        return Provenance(source=Path(where).name, source_row=taken.place, filters=taken.masked)
    masked = [Figure(**one) for one in known.get("filters") or () if one["name"].startswith("masked_")]
    return Provenance(
        source=known.get("source") or Path(where).name,
        source_row=known.get("source_row") or taken.key,
        source_license=known.get("source_license") or known.get("license") or "",
        parents=(row["id"],),
        filters=(*masked, *taken.masked),
        rehearsal=bool(known.get("rehearsal")),
    )


def question_of(taken: TakenIn, provenance: Provenance) -> Question:
    """A row on its way, or with the reason why it is none."""
    if taken.consultation is None:
        return Question(taken.key, (), "", "", provenance, "unreadable", taken.flaw)
    department = clinic(taken.consultation.department)
    try:
        prompt, reference = prompt_and_reference(taken.consultation)
    except Reject as verdict:
        return Question(taken.key, (), "", department, provenance, verdict.reason, verdict.detail)
    return Question(taken.key, prompt, reference, department, provenance)


def prompt_and_reference(held: Consultation) -> tuple[tuple[Message, ...], str]:
    """A consultation up to the last question a doctor answers with substance, and his answer; raises Reject."""
    system = [Message(role="system", content=said.text) for said in held.utterances if said.speaker == "system"]
    turns = _turns(held)
    reference = ""
    if any(turn.speaker == "doctor" for turn in turns):
        turns = cut_farewells(turns).turns
        if not turns:
            raise Reject("nothing but courtesy", " / ".join(said.text for said in held.utterances)[:300])
        reference = turns.pop().text.strip()
    if turns and turns[0].speaker == "doctor":  # a greeting, or a question about a description that was not published
        turns = turns[1:]
    if not turns:
        raise Reject("no question", reference[:300])
    return (*system[:1], *(Message(role=ROLES[turn.speaker], content=turn.text.strip()) for turn in turns)), reference


def _turns(held: Consultation) -> list[Said]:
    """What the two say, a turn each; title and description open it where the source has them."""
    spoken = tuple(said for said in held.utterances if said.speaker != "system")
    turns = merge_bubbles([Said(said.speaker, said.text) for said in spoken if said.speaker != "system"])
    if not (held.title or held.description):
        return turns
    opening = Said("patient", held.model_copy(update={"utterances": spoken}).question)
    return [opening, *(turns[1:] if turns and turns[0].speaker == "patient" else turns)]
