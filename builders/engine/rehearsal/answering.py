"""The answers of the rehearsal teacher: plausible prose that takes up the question's own medical terms.

The same answer every time for the same arguments. Which sentence suits which question stands in `frames.toml`, under
`answers`: `affinity` rules draw a sentence to a question, `reserved` ones keep it for the questions that ask for it.
"""

import re
from functools import cache
from random import Random
from typing import NamedTuple

from builders.engine.rehearsal.lexicon import SLOT, Entry, clinic, entries_in, fill, frames, owner_of, random_from

ANSWER_RANGE = (150, 362)
"""Range an answer's length is drawn from when the caller names none."""
LAY_MARKS = re.compile(r"我|您好|咱|吗？|呢？|大夫|挂哪|啥|要不要紧")
"""Words of a layman's question."""


class Question(NamedTuple):
    """What an answer knows of its question: the kinds of term it names, and the rules it sets off.

    `wanted` are the affinity rules whose question it is, `open` the reservations it lifts; both by their place in
    `frames.toml`.
    """

    named: frozenset[str]
    wanted: frozenset[int]
    open: frozenset[int]


def answer(*, instruction: str, input: str, seed: str, length: int | None = None) -> str:
    """Write a plausible answer that takes up the question's own medical terms.

    About `length` characters long, or 120 to 400 when none is given; an opening, an explanation, a list or a paragraph
    of points, and a closing.
    """
    rng = random_from("answer", instruction, input, seed, length)
    slots, named = _answer_slots(rng, entries_in(instruction + "。" + input))
    question = Question(
        frozenset(named),
        _rules("affinity", "ask", instruction),
        _rules("reserved", "ask", instruction),
    )
    blocks, lay = frames().answers, _is_lay(instruction)
    voice = "lay" if lay else "work"

    def told(templates: list[str]) -> list[str]:
        """Fill the templates in the order that suits this question."""
        return [fill(text, slots) for text in _ranked(rng, templates, question)]

    opening = told(blocks["openings"][voice])[0]
    caution = told(blocks["cautions"] + ([] if lay else blocks["cautions_work"]))[0]
    closing = told(blocks["closings"][voice])[0]
    points = told(blocks["advice" if lay else "plans"])
    goal = length if length is not None else rng.randint(*ANSWER_RANGE)
    return _assemble(rng, goal, (opening, caution, closing), told(blocks["explanations"]), points)


def _is_lay(instruction: str) -> bool:
    """Tell a layman's question from a colleague's task, to answer in the same tone."""
    demands = frames().demands
    if any(demand in instruction for demand in demands["lay"]):
        return True
    if any(text in instruction for name, group in demands.items() if name != "lay" for text in group):
        return False
    return LAY_MARKS.search(instruction) is not None


def _answer_slots(rng: Random, entries: list[Entry]) -> tuple[dict[str, str], set[str]]:
    """Take the question's own terms as slot values; fill gaps from the matching row.

    Returns the values and the kinds of term the question itself named.
    """
    department = clinic()[owner_of(entries)]
    named: dict[str, str] = {}
    for entry in entries:
        named.setdefault(entry.kind, entry.term)
    row = max(
        rng.sample(department.rows, len(department.rows)),
        key=lambda row: sum(named.get(kind) == term for kind, term in row.items()),
    )
    first, second = rng.sample(department.habits, 2)
    slots = {**row, "habit": first, "habit2": second, "dept": department.name}
    slots.update({kind: term for kind, term in named.items() if kind != "dept"})
    if slots["habit"] == second:
        slots["habit2"] = first
    return slots, set(named)


def _ranked(rng: Random, templates: list[str], question: Question) -> list[str]:
    """Shuffle templates, those that suit the question before the others."""
    mixed = rng.sample(templates, len(templates))
    return sorted(mixed, key=lambda text: _distance(text, question) + rng.random() * 1.5)


def _distance(template: str, question: Question) -> int:
    """Measure how far a template is from a question: foreign slots, and topics not asked for."""
    slots, suits, held = _traits(template)
    suited = not suits.isdisjoint(question.wanted)
    return len(slots - question.named) - 2 * suited + 3 * (not held <= question.open)


@cache
def _traits(template: str) -> tuple[frozenset[str], frozenset[int], frozenset[int]]:
    """Give a template's slots, the affinity rules and the reservations it falls under."""
    slots = frozenset(SLOT.findall(template)) - {"dept", "habit2"}
    return slots, _rules("affinity", "take", template), _rules("reserved", "take", template)


def _rules(table: str, field: str, text: str) -> frozenset[int]:
    """List the rules of one table that a text sets off, or a template falls under."""
    found = (pattern.search(text) for pattern in _patterns(table, field))
    return frozenset(place for place, match in enumerate(found) if match)


@cache
def _patterns(table: str, field: str) -> tuple[re.Pattern[str], ...]:
    """Compile one column of a table of rules; a slot's name in it is meant literally."""
    rules = frames().answers[table]
    return tuple(re.compile(rule[field].replace("{", r"\{")) for rule in rules)


def _assemble(rng: Random, goal: int, frame: tuple[str, str, str], reasons: list[str], points: list[str]) -> str:
    """Lay the parts out in paragraphs, taking as many reasons and points as the length allows."""
    opening, caution, closing = frame
    if goal < 120:
        return opening + "".join(_within(reasons, goal - len(opening) - 8, 1))
    room = goal - len(opening) - len(caution) - len(closing)
    share = rng.uniform(0.35, 0.6)
    told = _within(reasons, room * share, 1)
    listed = _within(points, room - sum(map(len, told)), 2 if goal >= 150 else 1)
    body = _listing(rng, listed)
    tail = [caution, closing] if rng.random() < 0.7 else [closing]
    if rng.random() < 0.3:
        return "\n\n".join([opening, body, "".join(told), *tail[:-1], tail[-1]])
    return "\n\n".join([opening + "".join(told), body, "".join(tail)])


def _within(sentences: list[str], room: float, least: int) -> list[str]:
    """Take sentences from the front until `room` characters are about full."""
    taken, used = list[str](), 0.0
    for sentence in sentences:
        if len(taken) >= least and used + len(sentence) / 2 > room:
            break
        taken.append(sentence)
        used += len(sentence) + 3
    return taken


def _listing(rng: Random, points: list[str]) -> str:
    """Write points as a numbered list, a dashed list or one flowing paragraph."""
    style = rng.random()
    if style < 0.55:
        return "\n".join(f"{number}. {point}。" for number, point in enumerate(points, 1))
    if style < 0.75:
        return "\n".join(f"- {point}；" for point in points[:-1]) + f"\n- {points[-1]}。"
    return "；".join(points) + "。"
