"""Rankings by people as seeds of a run: what stands, whose answers they are, private things masked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.engine.folder import sha256_of
from builders.engine.intake import clinic, figures_of, named
from builders.engine.privacy.mask import mask_all
from builders.ranking.agreement import Agreement, Decided, agreement, decide
from builders.ranking.answers import Answer
from builders.ranking.candidates import Candidates, id_of
from builders.ranking.label_studio import label_studio_lines
from builders.ranking.pairs import by_places, rows_of
from builders.ranking.people import Group, groups_of, sheet_lines
from schemas.base import Figure, Message, Provenance
from schemas.preference import Preference
from schemas.settings import InputError


class Judged(NamedTuple):
    """A prompt with all that people said of its answers, private things masked."""

    key: str
    candidates: Candidates
    orders: dict[str, tuple[int, ...]]
    corrections: dict[str, str]


class Rankings:
    """The --people of a command line; `known` are the candidates that its sheets were written from, if that is known."""

    def __init__(self, files: Sequence[Path], known: Mapping[str, Candidates], scratch: Path) -> None:
        tables = [file for file in files if file.suffix.lower() != ".json"]
        lines = list(sheet_lines(tables, scratch))
        lines += [line for file in files if file not in tables for line in label_studio_lines(file)]
        self._groups = groups_of(lines)
        self._files = files
        self._known = known
        self.agreement: Agreement = agreement(group.orders for group in self._groups)

    def __iter__(self) -> Iterator[Judged]:
        """Every group, in the order of the sheets."""
        return map(self._judged, self._groups)

    def described(self) -> Iterator[str]:
        """The sheets for the card, by number: a file may be called after its annotator."""
        for number, file in enumerate(self._files, 1):
            yield f"sheet {number} of rankings by people (sha256 {sha256_of(file)})"

    def told(self) -> str:
        """How many prompts there are, and how far those who ranked the same ones agree."""
        prompts, (kappa, pairs, twice) = f"{len(self._groups)} prompts ranked by people", self.agreement
        if not twice:
            return f"{prompts}, none of them by two"
        agreed = "undefined, every verdict is the same" if kappa is None else f"{kappa:.3f}"
        return f"{prompts}, {twice} of them by two: Cohen's kappa {agreed}, over {pairs} pairs"

    async def build(self, seed: Judged, _: Ask) -> Sequence[Preference]:
        """The pairs of one prompt; raises Reject."""
        return rows_by_people(seed, self.agreement.kappa)

    def _judged(self, group: Group) -> Judged:
        candidates = self._of_release(group) if self._known else _as_told(group)
        said = [one.content for one in candidates.prompt]
        texts = [*said, candidates.reference, *(answer.text for answer in candidates.answers)]
        masked = mask_all([*texts, *group.corrections.values()])
        safe = list(masked.texts)
        update = {
            "prompt": tuple(
                Message(role=one.role, content=text) for one, text in zip(candidates.prompt, safe, strict=False)
            ),
            "reference": safe[len(said)],
            "answers": tuple(
                answer.model_copy(update={"text": text})
                for answer, text in zip(candidates.answers, safe[len(said) + 1 :], strict=False)
            ),
            "provenance": _measured(candidates.provenance, figures_of(masked.counts)),
        }
        corrections = dict(zip(group.corrections, safe[len(texts) :], strict=True))
        return Judged(candidates.key, candidates.model_copy(update=update), group.orders, corrections)

    def _of_release(self, group: Group) -> Candidates:
        """The candidates that a group of a sheet is about, answers in the sheet's order."""
        candidates = self._known.get(group.key)
        if candidates is None:
            raise InputError(f"--people: group {group.key!r} is none of those in --data")
        by_id = {id_of(answer.text): answer for answer in candidates.answers}
        found = [by_id.get(id) or by_id.get(id_of(text)) for id, text in zip(group.ids, group.answers, strict=True)]
        if None in found or len(found) != len(by_id):
            raise InputError(f"--people: group {group.key!r}: its answers are not those in --data")
        return candidates.model_copy(update={"answers": tuple(filter(None, found))})


def _as_told(group: Group) -> Candidates:
    """A group as its sheet has it, when nobody knows more of it."""
    key = named(group.key)
    return Candidates(
        key=key,
        origin="distilled",
        form="conversation" if sum(one.role == "user" for one in group.prompt) > 1 else "instruction",
        department=clinic(group.department),
        prompt=group.prompt,
        reference=group.reference,
        answers=tuple(Answer(text=text) for text in group.answers),
        provenance=Provenance(source="people", source_row=key),
    )


def rows_by_people(judged: Judged, kappa: float | None) -> list[Preference]:
    """The pairs of the ranking that stands; raises Reject when none does, or everything ties."""
    decided = decide(judged.orders)
    answers, places = with_corrections(judged, decided)
    figures = {"annotators": float(decided.annotators), "adjudicated": float(decided.adjudicated)}
    figures |= {"cohens_kappa": round(kappa, 4)} if kappa is not None else {}
    measured = tuple(Figure(name=name, value=value) for name, value in figures.items())
    candidates = judged.candidates
    rows = rows_of(
        by_places(answers, places, figures=measured),
        group=judged.key,
        prompt=candidates.prompt,
        reference=candidates.reference,
        department=candidates.department,
        provenance=candidates.provenance,
    )
    if not rows:
        raise Reject("no preference", f"all {len(answers)} answers tie")
    return rows


def with_corrections(judged: Judged, decided: Decided) -> tuple[tuple[Answer, ...], tuple[int, ...]]:
    """The answers and their places, behind what those whose ranking stands wrote themselves; one text stands once."""
    texts = {answer.text for answer in judged.candidates.answers}
    own = dict.fromkeys(judged.corrections[who] for who in decided.by if who in judged.corrections)
    written = [Answer(text=text, writer="annotator") for text in own if text and text not in texts]
    answers = (*judged.candidates.answers, *written)
    return answers, (*(place + bool(written) for place in decided.places), *(1 for _ in written))


def _measured(provenance: Provenance, figures: tuple[Figure, ...]) -> Provenance:
    return provenance.model_copy(update={"filters": (*provenance.filters, *figures)})
