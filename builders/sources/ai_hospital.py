r"""AI Hospital: consultations of a doctor, a patient and a reporter, all models, over real case records; and the cases.

{"patient_id": 1001, "doctor": "Agent.Doctor.GPT", "dialog_history": [{"turn": 1, "role": "Patient", "content":
 "<对检查员讲> 您好，我想做血常规。"}, {"turn": 1, "role": "Reporter", "content": "#检查项目#\n- 血常规: 正常"}, …]}
{"patient_id": 1809, "reference_diagnosis": {"diagnosis": "…", "basis": "1. 主诉: …\n2. 查体: …", "treatment": "…"}}
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from builders.sources.cases_from_basis import facts, in_brief
from builders.sources.consultations import Consultation, Format, Speaks
from builders.sources.fields import id_of, objects, text
from builders.sources.voices import utterances
from schemas.case import CaseFile

LICENSE = "MIT"
TAG = re.compile(r"<(对医生讲|对检查员讲|检查员|结束)>")
TO_DOCTOR = "对医生讲"
HEADING = re.compile(r"^#[^#\n]+#\s*", re.MULTILINE)
CONCLUSION = re.compile(r"#诊断结果#\s*(.*?)\s*(?=\n#|\Z)", re.DOTALL)


def consultation(row: Mapping[str, Any]) -> Consultation:
    """What patient and doctor say to each other; what the patient asks the reporter is not, the report is.

    The report is what the patient brings back, under the words 检查结果.
    """
    history = objects(row, "dialog_history")
    said = utterances(heard for turn in history for heard in _heard(text(turn, "role"), text(turn, "content")))
    doctor, patient = text(row, "doctor"), id_of(row, "patient_id")
    concluded = next((found[1] for each in reversed(said) if (found := CONCLUSION.search(each.text))), "")
    return Consultation(
        utterances=said,
        diagnosis=concluded,
        tags=("simulated",),
        own_id=f"{doctor}/{patient}" if doctor and patient else "",
    )


def _heard(role: str, content: str) -> Iterator[tuple[Speaks, str]]:
    if role == "Doctor":
        yield "doctor", content.strip()
    elif role == "Reporter":
        yield "patient", f"检查结果：\n{HEADING.sub('', content).strip()}"
    elif role == "Patient":
        pieces = TAG.split(content)
        addressed = [TO_DOCTOR, *pieces[1::2]]
        parts = [part.strip() for to, part in zip(addressed, pieces[::2], strict=True) if to == TO_DOCTOR]
        yield "patient", "\n".join(part for part in parts if part)
    else:
        raise ValueError(f"dialog_history: role {role!r} is neither Doctor, Patient nor Reporter")


def ai_hospital_cases(record: Mapping[str, Any]) -> CaseFile:
    """The case behind an evaluation: its basis as facts, its diagnosis and its treatment.

    What a patient can know goes to the patient; examinations, tests and the doctor's reasoning do not.
    """
    reference = record.get("reference_diagnosis")
    if not isinstance(reference, dict):
        raise ValueError("reference_diagnosis: missing")
    known = tuple(facts(text(reference, "basis")))
    if not known:
        raise ValueError("reference_diagnosis.basis: nothing in it")
    return CaseFile(
        id=id_of(record, "patient_id"),
        complaint=in_brief(known),
        facts=known,
        diagnosis=text(reference, "diagnosis").strip(),
        advice=text(reference, "treatment").strip(),
        source=FORMAT.name,
        license=LICENSE,
    )


FORMAT = Format(
    name="ai_hospital",
    about="AI Hospital: simulated consultations over real case records; its evaluation file holds the cases",
    license=LICENSE,
    consultation=consultation,
    fits=lambda row: bool(row.get("dialog_history")),
)
