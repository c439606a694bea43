"""Real consultations on their way in: read, told apart, and made private before anything else looks at them.

No text of a source reaches a prompt, a row or a reject without having passed here.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from builders.engine.privacy.find import find
from builders.engine.privacy.mask import mask_all
from builders.sources.consultations import Broken, Consultation, Format, Read
from builders.sources.known import count_rows, detect, format_of, read_consultations
from builders.sources.raw_rows import files_of
from schemas.base import Figure, Provenance
from schemas.settings import BuildSettings, InputError
from schemas.source_settings import SourceSettings, columns_of
from schemas.taxonomy import load_taxonomy

QUOTED = re.compile(r"'([^']*[\u3400-\u9fff][^']*)'")
"""Chinese words that a reason quotes from a row, such as a speaker nobody knows: perhaps somebody's name."""
SAY_WHO = {"name", "hospital", "phone", "id_number"}
"""What an id or a file name may not hold; a date or an address on the web in it names nobody."""
GENERIC = "columns"
"""Format of rows that `--columns` explains."""


class TakenIn(NamedTuple):
    """One row of a source, private things masked."""

    key: str
    place: str
    consultation: Consultation | None
    """None when the row could not be read."""
    flaw: str
    """Why not."""
    raw: str
    """What stood there, masked as well."""
    masked: tuple[Figure, ...]
    """How many things of each kind were masked."""


class Intake:
    """The SOURCE of a command line."""

    def __init__(self, inputs: tuple[str, ...], *, format: str | None, columns: str | None, scratch: Path) -> None:
        self._inputs = inputs
        self._scratch = scratch
        self._columns = columns_of(columns) if columns else None
        self.format: Format = format_of(self._name(format))

    def __iter__(self) -> Iterator[TakenIn]:
        """Every row, in the order of the files."""
        for read in read_consultations(self._inputs, self.format.name, self._scratch, columns=self._columns):
            yield taken_in(read)

    def rows(self) -> int:
        """Rows of the source, as far as files can tell."""
        return count_rows(self._inputs, self.format.name, self._scratch)

    def provenance(self, seed: TakenIn, figures: tuple[Figure, ...] = ()) -> Provenance:
        """Where a row made from this seed comes from."""
        return Provenance(
            source=self.format.name,
            source_row=seed.place,
            source_license=self.format.license,
            filters=(*seed.masked, *figures),
        )

    def described(self) -> tuple[str, ...]:
        """The source for the card: files with their hashes, how they were understood, their licence."""
        return described(self._inputs, f"{self.format.name}, licence {self.format.license or 'not stated'}")

    def _name(self, given: str | None) -> str:
        if given or self._columns:
            return given or GENERIC
        if found := detect(self._inputs):
            return found
        raise InputError(
            f"{', '.join(self._inputs)}: what its rows are cannot be told; name it with --format, or say with --columns"
        )


def intake_of(settings: SourceSettings) -> Intake:
    """The intake that a command line names; raises InputError when its rows cannot be understood."""
    return Intake(settings.source, format=settings.format, columns=settings.columns, scratch=scratch_of(settings))


def files_described(paths: Iterable[Path], about: str) -> tuple[str, ...]:
    """Files beside the source (word lists, a graph) for the card: name and SHA-256 over what lies there."""
    try:
        return tuple(f"{path.name} ({about}, sha256 {_digest(_files_below(path))})" for path in paths)
    except OSError as wrong:
        raise InputError(f"{wrong.filename}: {wrong.strerror}") from None


def _files_below(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def described(inputs: tuple[str, ...], about: str) -> tuple[str, ...]:
    """Each input for the card: its name and the SHA-256 over its files."""
    return tuple(f"{Path(name).name} ({about}, sha256 {_digest(files_of(name))})" for name in inputs)


def scratch_of(settings: BuildSettings) -> Path:
    """Where tables that are no Parquet are converted into: beside the ledger, for its owner alone, as it is not masked."""
    scratch = settings.ledger.parent / "sources"
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.chmod(0o700)
    except OSError as wrong:
        raise InputError(f"--ledger {settings.ledger}: {wrong.filename}: {wrong.strerror}") from None
    return scratch


def _digest(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            whole.update(hashlib.file_digest(opened, "sha256").digest())
    return whole.hexdigest()


def taken_in(read: Read) -> TakenIn:
    """A row with private things masked, the same one by the same placeholder throughout the row."""
    if isinstance(read.row, Broken):
        shown = [("name", words) for words in QUOTED.findall(read.row.reason)]
        masked = mask_all([read.row.reason, read.row.raw], known=shown)
        reason, raw = masked.texts
        return TakenIn(named(read.key), named(read.place), None, reason, raw, figures_of(masked.counts))
    row = read.row
    known = [("name", row.doctor), ("hospital", row.hospital)]
    about = [row.title, row.description, row.diagnosis, row.department]
    texts = [*about, *(said.text for said in row.utterances)]
    masked = mask_all(texts, known=[(kind, name) for kind, name in known if name])
    title, description, diagnosis, department, *said = masked.texts
    utterances = tuple(
        old if old.text == text else old.model_copy(update={"text": text, "spans": ()})
        for old, text in zip(row.utterances, said, strict=True)
    )
    words = {"title": title, "description": description, "diagnosis": diagnosis, "department": clinic(department)}
    names = {"doctor": "", "hospital": "", "own_id": named(row.own_id)}
    safe = row.model_copy(update={**words, **names, "utterances": utterances})
    return TakenIn(named(read.key), named(read.place), safe, "", safe.model_dump_json(), figures_of(masked.counts))


@lru_cache(maxsize=1024)
def clinic(department: str) -> str:
    """The taxonomy's id of a department where its name is known, so that rows of all sources count together."""
    return load_taxonomy().known_department(department)


def named(name: str) -> str:
    """An id or a file name as it may be published: its hash where it looks like somebody's name or number."""
    private = any(hit.kind in SAY_WHO for hit in find(name))
    return f"private-{hashlib.sha256(name.encode()).hexdigest()[:16]}" if private else name


def figures_of(counts: Mapping[str, int]) -> tuple[Figure, ...]:
    """How many things of each kind were masked, for the provenance of a row."""
    return tuple(Figure(name=f"masked_{kind}", value=count) for kind, count in sorted(counts.items()))
