r"""HuatuoGPT's multi-turn evaluation: cases that patients wrote down, with what their doctors concluded.

{"id": 62963, "medical_case": "疾病：\n指甲营养不良\n病情描述：\n发病两年了……\n过敏史：\n无（2020-03-25填写）",
 "doctor_diagnosis": "病情摘要及初步印象：\n甲营养不良\n总结建议：\n适量用药", "Department": "皮肤科"}
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from builders.sources.fields import id_of, text
from schemas.case import CaseFile, Fact

LICENSE = ""
WRITTEN = "疾病|病情描述|希望获得的帮助|怀孕情况|患病多久|已就诊医院及科室|用药情况|过敏史|既往病史|身高体重|医生给您发来一个提醒"
LABELS = re.compile(rf"(?:^|\n|(?<=：)|(?<=:))\s*({WRITTEN})\s*[：:]")
CONCLUDED = re.compile(r"(?:^|\n)\s*(病情摘要及初步印象|疾病诊断|总结建议|药品)\s*[：:]")
FILLED_IN = re.compile(r"（\d{4}-\d{2}-\d{2}填写）")
DIALOGUE = re.compile(r"\n\s*(?:Dialogue|医生给您发来一个提醒)\s*[：:\n]")
"""In some cases the site's page goes on with the consultation itself."""
NAMES_PLACES = frozenset({"已就诊医院及科室", "医生给您发来一个提醒"})
"""Left out: hospitals are nobody's symptom, and name who was where."""


def case_of(row: Mapping[str, Any]) -> CaseFile:
    """A case: all of it the patient can tell, the conclusion and the advice the patient cannot."""
    told = dict(_sections(LABELS, DIALOGUE.split(text(row, "medical_case"))[0]))
    facts = tuple(Fact(name=name, value=value) for name, value in told.items() if name not in NAMES_PLACES)
    if not facts:
        raise ValueError("medical_case: nothing in it under any of the usual headings")
    concluded = dict(_sections(CONCLUDED, text(row, "doctor_diagnosis")))
    advice = [concluded.get("总结建议", ""), concluded.get("药品", "")]
    return CaseFile(
        id=id_of(row, "id"),
        department=text(row, "Department"),
        complaint=told.get("疾病", facts[0].value),
        facts=facts,
        diagnosis=concluded.get("病情摘要及初步印象", concluded.get("疾病诊断", "")),
        advice="\n".join(part for part in advice if part),
        source="huatuo_cases",
        license=LICENSE,
    )


def _sections(labels: re.Pattern[str], written: str) -> Iterator[tuple[str, str]]:
    """(label, text) of a text under labels; those without a text are left out."""
    pieces = labels.split(written)
    for name, value in zip(pieces[1::2], pieces[2::2], strict=True):
        value = FILLED_IN.sub("", value).strip()
        if value:
            yield name, value
