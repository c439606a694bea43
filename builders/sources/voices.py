r"""Who says what in a raw dialogue, in whatever shape it comes, as utterances of patient, doctor and system.

[{"role": "user", "content": "…"}, …]     under any of the usual names
["问：…", "答：…", "…"]                     a name before each, or patient and doctor in turn
{"speaker": ["病人", …], "utterance": […]}  two lists
"Doctor: …\nPatient: …"                   lines, or any of the above as JSON in a text
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from builders.sources.consultations import Speaks, Utterance
from builders.sources.fields import kind
from builders.sources.turns import ANSWERING, ASKING, CONTENTS, KNOWN, ROLES, SYSTEM

SIDES: dict[int, Speaks] = {SYSTEM: "system", ASKING: "patient", ANSWERING: "doctor"}
LABEL = re.compile(r"\s*([^\s:：]{1,20})\s*[:：]\s?")


def speaker_of(role: Any) -> Speaks:
    """The side a role is on; raises ValueError for one that is neither patient, doctor nor system."""
    side = KNOWN.get(str(role).strip().lower())
    if side is None:
        raise ValueError(f"speaker: {role!r} is neither patient nor doctor")
    return SIDES[side]


def utterances(said: Iterable[tuple[Speaks, str]]) -> tuple[Utterance, ...]:
    """Utterances, blank ones left out; raises ValueError when nothing is left."""
    kept = tuple(Utterance(speaker=speaker, text=text) for speaker, text in said if text and not text.isspace())
    if not kept:
        raise ValueError("nothing is said in it")
    return kept


def turns(listed: Sequence[Mapping[str, Any]], role: str, content: str) -> tuple[Utterance, ...]:
    """A list of objects with a role and a content."""
    said: list[tuple[Speaks, str]] = []
    for number, turn in enumerate(listed, 1):
        text = turn.get(content)
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{content}: expected a text in turn {number}, got {kind(text)}")
        if text and not text.isspace():
            said.append((speaker_of(turn.get(role)), text))
    return utterances(said)


def dialogue(value: Any) -> tuple[Utterance, ...]:
    """The utterances of a dialogue in any shape; raises ValueError for what is none."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, dict):
        role, content = _names(value)
        roles, contents = value[role], value[content]
        if not isinstance(roles, list) or not isinstance(contents, list) or len(roles) != len(contents):
            raise ValueError(f"not as many {role} as {content}")
        value = [{role: one, content: other} for one, other in zip(roles, contents, strict=True)]
    if isinstance(value, list) and all(isinstance(turn, str) for turn in value):
        return _of_texts(value)
    if isinstance(value, list) and all(isinstance(turn, dict) for turn in value):
        return turns(value, *_names(value[0])) if value else utterances(())
    raise ValueError(f"expected a list of turns, got {kind(value)}")


def labelled_lines(text: str, known: Mapping[str, Speaks]) -> tuple[Utterance, ...]:
    """Lines that begin with a speaker's name; one that does not goes on with the line before.

    `known` has names in small letters; raises ValueError when the first line has none.
    """
    said: list[tuple[Speaks, str]] = []
    for line in text.splitlines():
        label = LABEL.match(line)
        speaker = known.get(label[1].lower()) if label else None
        if label and speaker:
            said.append((speaker, line[label.end() :].rstrip()))
        elif said:
            said[-1] = (said[-1][0], f"{said[-1][1]}\n{line.strip()}".rstrip())
        elif line.strip():
            raise ValueError(f"no speaker before {line.strip()[:40]!r}")
    return utterances(said)


NAMES: dict[str, Speaks] = {name: SIDES[side] for name, side in KNOWN.items()}


def _of_text(text: str) -> tuple[Utterance, ...]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return dialogue(json.loads(text, strict=False))
        except (json.JSONDecodeError, RecursionError):
            pass  # a text that only looks like JSON
    return labelled_lines(text, NAMES)


def _of_texts(texts: Sequence[str]) -> tuple[Utterance, ...]:
    labels = [LABEL.match(text) for text in texts]
    speakers = [NAMES.get(label[1].lower()) if label else None for label in labels]
    if all(speakers):
        return utterances(
            (speaker, text[label.end() :])
            for speaker, label, text in zip(speakers, labels, texts, strict=True)
            if speaker and label
        )
    return utterances((("patient", "doctor")[number % 2], text) for number, text in enumerate(texts))


def _names(turn: Mapping[str, Any]) -> tuple[str, str]:
    role = next((name for name in ROLES if name in turn), None)
    content = next((name for name in CONTENTS if name in turn), None)
    if role is None or content is None:
        raise ValueError(f"no role and content in a turn, only {', '.join(turn) or 'nothing'}")
    return role, content
