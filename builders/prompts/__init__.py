"""Prompts as text files a doctor can review; the hash of the text travels with every row.

Source text never enters a prompt's own words. It stands in the last message, inside one line of JSON in which even `<`
is escaped, so nothing in it can look like the prompt or close the block.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from schemas.base import Message, PromptUse

FOLDER = Path(__file__).parent


class Prompt(NamedTuple):
    """One prompt file."""

    name: str
    text: str

    @property
    def use(self) -> PromptUse:
        """Name and hash, as the provenance of a row states them."""
        return PromptUse(name=self.name, sha256=hashlib.sha256(self.text.encode()).hexdigest())

    @property
    def system(self) -> Message:
        """The prompt's own words."""
        return Message(role="system", content=self.text)

    def messages(self, data: dict[str, Any]) -> list[Message]:
        """The prompt as the system message, and the data it speaks of as a JSON block."""
        return [self.system, Message(role="user", content=data_block(data))]


@cache
def prompt(name: str) -> Prompt:
    """The prompt in builders/prompts/NAME.txt."""
    return Prompt(name, (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip())


def data_block(data: dict[str, Any]) -> str:
    """Data as one line of JSON between <data> marks; `<` inside is written as its JSON escape, so the marks cannot be forged."""
    return f"<data>{json.dumps(data, ensure_ascii=False).replace('<', chr(92) + 'u003c')}</data>"
