"""Two answers to one prompt, one of them preferred; and the ranking of K answers that the pair is taken from.

{"department": "cardiology", "prompt": [{"role": "user", …}], "chosen": [{"role": "assistant", …}], "rejected": [{…}],
 "margin": 1.75, "weight": 0.1667, "group": "…", "better": {"writer": "policy", "rank": 1, "total": 8.5, …}, "worse": {…}}
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Message, Record, Row

Writer = Literal["policy", "doctor", "annotator"]
"""Who wrote an answer: the policy that is to be trained, the doctor of the source, or a person who corrected it."""


class Mark(Record):
    """What one pass of a judge gave an answer on one criterion."""

    criterion: str
    """Id of the criterion, e.g. factuality."""
    marks: tuple[float, ...]
    """One mark a pass, in the order of the passes; 0 to 10."""


class Standing(Record):
    """How one of the K answers to a prompt did."""

    writer: Writer = "policy"
    model: str = ""
    """MODEL@ENDPOINT of the policy; empty for people."""
    sample: int = 0
    """Which sample of the policy it is."""
    rank: int = Field(ge=1)
    """Place among the K, 1 is best; equal places are ties, and the next place counts them (1, 1, 3)."""
    total: float | None = None
    """What the rubric makes of its marks, 0 to 10; None where people ranked without marks."""
    marks: tuple[Mark, ...] = ()
    reasons: tuple[str, ...] = ()
    """What the judge said, one text a pass."""


class Preference(Row):
    """A pair of a ranking; rows of one prompt share `group`."""

    form: Literal["instruction", "conversation"] = "instruction"
    """A conversation when there was more than one question."""
    department: str = ""
    """Taxonomy id of the department where the source names a known one, else its own name for it."""
    prompt: tuple[Message, ...] = Field(min_length=1)
    """The conversation up to the question that both answer."""
    chosen: tuple[Message, ...] = Field(min_length=1, max_length=1)
    """The better answer, as TRL's preference trainers read it."""
    rejected: tuple[Message, ...] = Field(min_length=1, max_length=1)
    """The worse one."""
    reference: str = ""
    """The doctor's own answer, where there is one."""
    better: Standing
    worse: Standing
    margin: float = Field(ge=0)
    """How far the judge puts the better above the worse, in marks; 0 where people ranked without marks."""
    weight: float = Field(gt=0, le=1)
    """1 / C(K, 2): a prompt counts once however many pairs its ranking gives (Zhongjing's loss)."""
    group: str
    """Key of the prompt's ranking."""
    answers: int = Field(ge=2)
    """K."""
    judge: str = ""
    """MODEL@ENDPOINT of the judge, or `people`."""
    rubric: str = ""
    """Name of the rubric it judged by."""

    @property
    def likeness(self) -> str:
        """What is asked first: all pairs of a prompt, and of prompts like it, go to one split."""
        return next((said.content for said in self.prompt if said.role == "user"), self.prompt[0].content)

    @model_validator(mode="after")
    def _better_is_better(self) -> Self:
        if self.prompt[-1].role == "assistant":
            raise ValueError("prompt: ends with an answer; it must end with the question that both answer")
        if {self.chosen[0].role, self.rejected[0].role} != {"assistant"}:
            raise ValueError("chosen and rejected: must be said by the assistant")
        if self.better.rank >= self.worse.rank:
            raise ValueError(f"better is ranked {self.better.rank}, worse {self.worse.rank}")
        if self.chosen[0].content == self.rejected[0].content:
            raise ValueError("chosen and rejected are the same text")
        return self
