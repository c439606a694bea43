"""What people write into a card stays: the generated part stands between two marks, and only that is replaced.

---
license: cc-by-4.0            generated keys win; keys that only people know (extra_gated_prompt, …) stay
---
(yours)
<!-- generated: … -->
(ours)
<!-- end of the generated part: … -->
(yours)
"""

import re
from typing import Any, NamedTuple

BEGIN = "<!-- generated: the next release replaces what stands from here to the closing mark -->"
END = "<!-- end of the generated part: what stands outside the marks is kept -->"
_YAML = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
GENERATED = frozenset(
    [
        "language",
        "license",
        "pretty_name",
        "annotations_creators",
        "language_creators",
        "multilinguality",
        "size_categories",
        "source_datasets",
        "task_categories",
        "tags",
        "configs",
    ]
)
"""YAML keys that are written anew with every release; all others are people's."""


Said = tuple[tuple[str, str], dict[str, Any]]
NOTHING: Said = (("", ""), {})


class Handwritten(NamedTuple):
    """The parts of a card that people wrote."""

    before: str
    after: str
    keys: dict[str, Any]
    """YAML keys, all of them; those that are generated as well do not count."""

    @property
    def said(self) -> Said:
        """All that people said: words, and keys of their own."""
        return self.words, {name: value for name, value in self.keys.items() if name not in GENERATED}

    @property
    def words(self) -> tuple[str, str]:
        """The text, without the white space around it."""
        return self.before.strip(), self.after.strip()


def wrapped(body: str) -> str:
    """A generated body between its marks."""
    return f"{BEGIN}\n\n{body.strip()}\n\n{END}\n"


def handwritten(card: str) -> Handwritten:
    """What people wrote into a card; a card without marks is all theirs. Raises ValueError when its YAML is none."""
    import yaml

    head = _YAML.match(card)
    body = card[head.end() :] if head else card
    try:
        keys = yaml.safe_load(head[1]) if head else {}
    except yaml.YAMLError as wrong:
        raise ValueError(f"the YAML block cannot be read: {' '.join(str(wrong).split())}") from None
    if not isinstance(keys, dict | None):
        raise ValueError("the YAML block is no mapping")
    start, end = body.find(BEGIN), body.rfind(END)  # a row shown in the card may hold the marks as well
    if (start < 0) != (end < 0) or end < start:
        raise ValueError(
            "one of the two marks around the generated part is gone; put it back, or take out the other one too"
        )
    if start < 0:
        return Handwritten(body, "", keys or {})
    return Handwritten(body[:start], body[end + len(END) :], keys or {})


def with_handwritten(card: str, theirs: Handwritten) -> str:
    """A generated card with what people wrote in its place."""
    import yaml

    keys = {name: value for name, value in handwritten(card).keys.items() if name in GENERATED}
    keys |= {name: value for name, value in theirs.keys.items() if name not in GENERATED}
    block = yaml.safe_dump(keys, allow_unicode=True, sort_keys=False)
    generated = card[card.index(BEGIN) : card.rindex(END) + len(END)]
    before, after = theirs.words
    parts = [part for part in (before, generated, after) if part]
    return f"---\n{block}---\n\n" + "\n\n".join(parts) + "\n"
