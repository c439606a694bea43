"""An instruction and its answer, conditioned on a clinical department and on who is asking.

{"department": "cardiology", "role": "nurse", "character": "心内科责任护士", "intent": null,
 "instruction": "把下面的出院医嘱改写成患者看得懂的话。", "input": "阿司匹林肠溶片 100mg qd ...", "output": "..."}
"""

from typing import Literal

from pydantic import Field

from schemas.base import Message, Origin, Row


class Instruction(Row):
    """〈role, instruction, input〉 → output, the triplet of HuatuoGPT (arXiv 2305.15075, appendix A.1) with its answer."""

    origin: Origin = "distilled"
    """Who wrote the answer: distilled, real, rewritten or expanded."""
    form: Literal["instruction"] = "instruction"
    """Always an instruction."""
    department: str
    """Taxonomy id of the clinical department, e.g. cardiology."""
    role: str
    """Taxonomy id of who is asking, e.g. nurse; `none` when nobody in particular is."""
    character: str = ""
    """Who exactly is asking, in the teacher's words, e.g. 心内科责任护士."""
    intent: str | None = None
    """Taxonomy id of what a patient's question is after; None for work tasks."""
    instruction: str = Field(min_length=1)
    """What is asked, in one or two sentences."""
    input: str = ""
    """The material the instruction points at, when it points at any."""
    output: str = Field(min_length=1)
    """The teacher's answer."""

    def messages(self) -> list[Message]:
        """One question, one answer; the input follows the instruction on a line of its own, as HuatuoGPT joined them."""
        asked = f"{self.instruction}\n{self.input}" if self.input else self.instruction
        return [Message(role="user", content=asked), Message(role="assistant", content=self.output)]
