"""What a model says around a text it was asked for, and what it may not say in it."""

import re

from builders.engine.errors import Reject
from builders.engine.privacy.find import unresolved
from builders.engine.privacy.spans import PLACEHOLDER

FENCE = re.compile(r"^```[\w-]*\n|\n```$")
LABEL = re.compile(
    r"^(好的[，,。！!]?\s*)?(以下|下面|这)?(是|为)?(您?需要的|我)?(根据[^：:\n]{0,20})?(改写|润色|整理|修改|优化|重写)(后|好|过)?的?(回答|内容|版本|答案|文本|结果)?(如下)?\s*[：:]\s*"
    r"|^\**(医生)?(改写后的?|润色后的?)?回答\**\s*[：:]\s*"
)
QUOTED = re.compile(r"^[“\"「](.*)[”\"」]$", re.DOTALL)
OF_THE_TASK = re.compile(
    r"json|改写如下|以(上|下)(是|为).{0,8}(改写|润色)|作为.{0,6}改写",
    re.IGNORECASE,
)


def unwrapped(text: str) -> str:
    """A text without what models put around it: a code fence, 「以下是改写后的回答：」, quotation marks."""
    text = FENCE.sub("", text.strip()).strip()
    if found := QUOTED.match(text):
        text = found[1].strip()
    return LABEL.sub("", text).strip()


def speaks_of_the_task(text: str) -> str | None:
    """A model that talks about what it was given instead of to the patient."""
    return "talks about the task" if OF_THE_TASK.search(text) else None


def placeholders_in(text: str) -> set[str]:
    """The placeholders of masked things in a text, e.g. [医院1]."""
    return {found[0] for found in PLACEHOLDER.finditer(text)}


def check_private(text: str) -> None:
    """Raise Reject when a text that a model wrote has something private in it."""
    if left := unresolved(text):
        raise Reject("private in the answer", f"{left[0].kind} in …{text[max(0, left[0].start - 10) : left[0].start]}")
