"""Every raw source and format there is, by name; and how its rows are read, whichever it is.

for read in read_consultations(["answers.csv"], "toyhom", Path("build/scratch")):
    ...
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from builders.sources import (
    ai_hospital,
    alpaca,
    cmdd,
    cmedqa2,
    cmtmedqa,
    disc,
    huatuo,
    huatuo26m,
    huatuo_cases,
    imcs21,
    meddialog_cn,
    messages,
    mts_dialog,
    named_columns,
    own_cases,
    sharegpt,
    smile,
    toyhom,
    webmedqa,
)
from builders.sources.consultations import Broken, Format, RawRow, Read
from builders.sources.fields import columns, shown
from builders.sources.raw_rows import first_rows, mostly, raw_rows
from builders.sources.tables import open_tables
from schemas.case import CaseFile
from schemas.settings import InputError

SPECIAL = (toyhom, cmdd, ai_hospital, mts_dialog, smile, cmtmedqa, meddialog_cn, webmedqa, cmedqa2, imcs21, huatuo26m)
GENERAL = (disc, huatuo, sharegpt, messages, alpaca, named_columns)
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (*SPECIAL, *GENERAL)}
"""In the order in which they are tried on rows whose format nobody named."""


class CaseFormat(NamedTuple):
    """How the rows of a source are understood as case files."""

    name: str
    about: str
    license: str
    case: Callable[[Mapping[str, Any]], CaseFile]
    """One raw row to a case file; raises ValueError as `FIELD: what is wrong`."""
    fits: Callable[[Mapping[str, Any]], bool]


CASE_FORMATS: dict[str, CaseFormat] = {
    known.name: known
    for known in (
        CaseFormat(
            "case",
            "case files of this package, JSON Lines",
            "",
            own_cases.case_of,
            lambda row: columns(row, "facts", "id"),
        ),
        CaseFormat(
            "ai_hospital",
            "the evaluation file of AI Hospital: 506 real cases with diagnosis, its basis, and treatment",
            ai_hospital.LICENSE,
            ai_hospital.ai_hospital_cases,
            lambda row: "reference_diagnosis" in row,
        ),
        CaseFormat(
            "huatuo_cases",
            "HuatuoGPT's evaluation: 100 cases as patients wrote them down",
            huatuo_cases.LICENSE,
            huatuo_cases.case_of,
            lambda row: columns(row, "medical_case", "doctor_diagnosis"),
        ),
    )
}


def format_of(name: str) -> Format:
    """The format of this name; raises InputError with the nearest and all known ones."""
    if name in CASE_FORMATS and name not in FORMATS:
        raise InputError(f"--format {name}: these are case files, not consultations; there are {', '.join(FORMATS)}")
    return FORMATS[_known(name, FORMATS)]


def case_format_of(name: str) -> CaseFormat:
    """The format of case files of this name; raises InputError with the nearest and all known ones."""
    return CASE_FORMATS[_known(name, CASE_FORMATS)]


def _known(name: str, known: Mapping[str, Format] | Mapping[str, CaseFormat]) -> str:
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InputError(f"--format {name}: no such format{hint}; there are {', '.join(known)}")


def detect(inputs: Sequence[str]) -> str | None:
    """Which format, of consultations or of case files, all inputs have by their first rows.

    None when none fits, or not the same one for all.
    """
    found = {_detected(name) for name in inputs}
    return found.pop() if len(found) == 1 else None


def _detected(name: str) -> str | None:
    rows = webmedqa.first_rows(name) or first_rows(name)
    known: list[CaseFormat | Format] = [*CASE_FORMATS.values(), *FORMATS.values()]
    return next((one.name for one in known if mostly(one.fits, rows)), None)


def read_consultations(
    inputs: Sequence[str], format: str, scratch: Path, *, columns: Mapping[str, str] | None = None
) -> Iterator[Read]:
    """One `Read` for every row of every input, in order; what a file holds that is no row follows that file's rows.

    `columns` says which column holds what, and goes with the format `columns`. Raises InputError for an unknown
    format, a field or a column that is not there, and what cannot be opened.
    """
    known = format_of(format)
    if columns is not None:
        if format != named_columns.NAME:
            raise InputError(f"--columns goes with --format {named_columns.NAME}, not with {format}")
        known = named_columns.named_columns(columns)
    elif format == named_columns.NAME:
        raise InputError("--format columns: say which column holds what, e.g. --columns question=ask,answer=reply")
    return (_read(raw, known) for raw in (known.rows or raw_rows)(inputs, scratch))


def _read(raw: RawRow, known: Format) -> Read:
    key = f"{known.name}/{raw.origin}"
    if isinstance(raw.row, Broken):
        return Read(key, raw.place, raw.row)
    try:
        consultation = known.consultation(raw.row)
    except ValueError as wrong:
        return Read(key, raw.place, Broken(raw.place, str(wrong), shown(raw.row)))
    return Read(f"{known.name}/{consultation.own_id}" if consultation.own_id else key, raw.place, consultation)


def read_cases(inputs: Sequence[str], format: str, scratch: Path) -> Iterator[tuple[str, CaseFile | Broken]]:
    """(key, case) for every row of every input, in order; what is no case is `Broken`, never left out."""
    known = case_format_of(format)
    return (_case(raw, known) for raw in raw_rows(inputs, scratch))


def _case(raw: RawRow, known: CaseFormat) -> tuple[str, CaseFile | Broken]:
    key = f"{known.name}/{raw.origin}"
    if isinstance(raw.row, Broken):
        return key, raw.row
    try:
        case = known.case(raw.row)
    except ValueError as wrong:
        return key, Broken(raw.place, str(wrong), shown(raw.row))
    return f"{known.name}/{case.id}", case


def count_rows(inputs: Sequence[str], format: str, scratch: Path) -> int:
    """How many rows `read_consultations` gives, broken ones included."""
    rows = format_of(format).rows
    if rows is None:
        return sum(table.rows + table.rejected_rows for table in open_tables(inputs, scratch))
    return sum(1 for _ in rows(inputs, scratch))
