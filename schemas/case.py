"""A case file: what is true of a patient, and who of the consultation may know it.

{"id": "1809", "department": "消化内科", "complaint": "胃疼", "facts": [{"name": "主诉", "value": "中上腹隐痛1年，加重3天",
 "seen_by": ["patient", "judge"]}], "diagnosis": "十二指肠球部溃疡伴活动性出血", "advice": "…"}
"""

from typing import Literal

from pydantic import Field

from schemas.base import Record

Sees = Literal["patient", "doctor", "judge"]


class Fact(Record):
    """One field of a case, and who sees it."""

    name: str = Field(min_length=1)
    """What it is, e.g. 主诉, 持续时间, 过敏史, 既往史, 体温, 胃镜."""
    value: str = Field(min_length=1)
    seen_by: tuple[Sees, ...] = ("patient", "judge")
    """The patient can tell it, the doctor has it in the chart, the judge measures by it."""


class CaseFile(Record):
    """One patient's case."""

    id: str = Field(min_length=1)
    """Id inside its source."""
    department: str = ""
    complaint: str = ""
    """What the patient comes with, in a few words; the opening may say this and little more."""
    facts: tuple[Fact, ...] = Field(min_length=1)
    diagnosis: str = ""
    """The conclusion the doctor may come to; the patient never sees it."""
    advice: str = ""
    """Treatment and advice that go with the conclusion; the patient never sees it before it is given."""
    source: str = ""
    """Data set or graph the case was made from."""
    license: str = ""
    """Licence that the source states."""

    def facts_for(self, who: Sees) -> tuple[Fact, ...]:
        """The facts that one of them sees, in order."""
        return tuple(fact for fact in self.facts if who in fact.seen_by)
