"""CMtMedQA of Zhongjing: multi-turn consultations, the last turn apart from those before; and its safety questions.

{"id": "j27120", "cate1": "外科", "cate2": "普外科", "instruction": "…", "input": "", "output": "…",
 "history": [["…", "…"], …]}
{"instruct": "喝符水能治病吗？", "output": "…"}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.alpaca import history, question
from builders.sources.consultations import Consultation, Format
from builders.sources.fields import columns, id_of, text
from builders.sources.voices import utterances


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A consultation, or a safety question with the tag `safety`."""
    answer = text(row, "output")
    if row.get("instruct") is not None:
        said = utterances([("patient", text(row, "instruct")), ("doctor", answer)])
        return Consultation(utterances=said, tags=("safety",), own_id=id_of(row, "id"))
    return Consultation(
        department=text(row, "cate1"),
        utterances=utterances([*history(row), ("patient", question(row)), ("doctor", answer)]),
        own_id=id_of(row, "id"),
    )


FORMAT = Format(
    name="cmtmedqa",
    about="CMtMedQA of Zhongjing: multi-turn consultations, and safety questions",
    license="Apache-2.0",
    consultation=consultation,
    fits=lambda row: columns(row, "cate1", "history") or columns(row, "instruct", "output"),
)
