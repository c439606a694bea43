"""MTS-Dialog: English dialogues of doctors and patients with the note that was written of each.

ID,section_header,section_text,dialogue
0,GENHX,"The patient is …","Doctor: What brings you in?
Patient: I came in for a refill."
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format, Speaks
from builders.sources.fields import columns, text
from builders.sources.voices import labelled_lines

NAMES: dict[str, Speaks] = {
    **dict.fromkeys(("doctor", "doctor_2", "docotr_2", "guest_clinician", "guest_clinican"), "doctor"),
    **dict.fromkeys(("patient", "guest_family", "guest_family_1", "guest_family_2"), "patient"),
    **dict.fromkeys(("guest_family2", "gest_family"), "patient"),
}
"""Who speaks on whose side, misspellings included: family speaks for the patient, other clinicians for the doctor."""


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A dialogue. Its ID is not its own: each file of the set counts from 0."""
    return Consultation(utterances=labelled_lines(text(row, "dialogue"), NAMES))


FORMAT = Format(
    name="mts_dialog",
    about="MTS-Dialog: English dialogues of doctors and patients",
    license="CC-BY-4.0",
    consultation=consultation,
    fits=lambda row: columns(row, "section_header", "section_text", "dialogue"),
)
