"""IMCS-21 (IMCS-V2 of CBLUE): real paediatric consultations with reports, one JSON object for all of them.

{"10000001": {"diagnosis": "小儿支气管炎", "self_report": "咳嗽三天……", "dialogue": [{"speaker": "医生",
 "sentence": "发烧吗？", …}, …], "report": [{"主诉": "…", "现病史": "…", …}, …]}, …}
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.sources.consultations import Broken, Consultation, Format, RawRow
from builders.sources.fields import id_of, objects, shown, text
from builders.sources.formats.data_files import data_files
from builders.sources.formats.encodings import codec_of, utf8_chunks
from builders.sources.raw_rows import Origins
from builders.sources.voices import turns
from schemas.settings import InputError


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A consultation with what the patient wrote first, and the diagnosis where the split has one."""
    return Consultation(
        description=text(row, "self_report"),
        utterances=turns(objects(row, "dialogue"), "speaker", "sentence"),
        department="儿科",
        diagnosis=text(row, "diagnosis"),
        own_id=id_of(row, "id"),
    )


def rows(inputs: Sequence[str], scratch: Path) -> Iterator[RawRow]:
    """Every consultation with its id; a file is in memory as a whole, 35 MB of it for the 2,472 of the training set."""
    origins = Origins()
    for name in inputs:
        origins.next_input()
        for file in data_files(name):
            for number, (own, row) in enumerate(_keyed(file.path).items(), 1):
                place = f"{file.name}: row {number}"
                whole = isinstance(row, dict)
                broken = Broken(place, "not an object", shown({own: row}))
                yield RawRow(place, origins.of(place), {"id": own, **row} if whole else broken)


def _keyed(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(b"".join(utf8_chunks(path, codec_of(path))), strict=False)
    except json.JSONDecodeError as wrong:
        raise InputError(f"{path}: line {wrong.lineno}: not JSON: {wrong.msg}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected one object with a consultation under each id")
    return value


FORMAT = Format(
    name="imcs21",
    about="IMCS-21, IMCS-V2 of CBLUE: real paediatric consultations under their ids in one JSON object",
    license="",
    consultation=consultation,
    fits=lambda row: any(isinstance(each, dict) and "self_report" in each for each in row.values()),
    rows=rows,
)
