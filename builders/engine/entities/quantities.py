"""Doses, frequencies, durations and measured values, each as one value in one unit.

0.5克 → 500 mg    一天三次 = tid = 早中晚各一次 → 3/day    半年复查一次 → 1/6 month    两周 → 14 day    38度5 → 38.5 ℃
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from builders.engine.entities import numbers
from builders.engine.entities.numbers import NUMBER


class Unit(NamedTuple):
    """What a spelling stands for."""

    kind: str
    """dose, number or time."""
    name: str
    factor: float


def _units(lines: Sequence[str]) -> Iterator[tuple[str, Unit]]:
    for line in lines:
        if not line.startswith("#"):
            means, _, spellings = line.partition("=")
            kind, name, factor = means.split()
            yield from ((spelling, Unit(kind, name, float(factor))) for spelling in spellings.split())


UNITS = dict(_units((Path(__file__).parent / "words" / "units.txt").read_text(encoding="utf-8").splitlines()))
TIME = {spelling: unit.name for spelling, unit in UNITS.items() if unit.kind == "time"}
ONLY_IN_PERIODS = {"晚", "早", "夜", "晚上", "d"}
"""每晚 is a period; 三晚 and 2d are mostly something else."""
GRADES = 4
"""二度 is a grade; 37度 is a temperature."""
MINUTES = {"second": 1 / 60, "minute": 1.0, "quarter": 15.0, "hour": 60.0}
LATIN = {
    "qd": "1/day",
    "qn": "1/day",
    "hs": "1/day",
    "bid": "2/day",
    "tid": "3/day",
    "qid": "4/day",
    "qod": "1/2 day",
    "qw": "1/7 day",
    "biw": "2/7 day",
}


def _either(spellings: Sequence[str]) -> str:
    """A pattern for the longest of them; a Latin one must end where its word ends."""
    return "|".join(
        re.escape(one) + ("(?![a-z])" if one[-1].isascii() and one[-1].isalpha() else "")
        for one in sorted(spellings, key=len, reverse=True)
    )


_UNIT = _either([spelling for spelling in UNITS if spelling not in ONLY_IN_PERIODS])
_PERIOD = _either([spelling for spelling, name in TIME.items() if name != "second"])
_GAP = r"(?:[^，。；、,;.！？!?\n\d后前每天日周月年各共连半零一二两三四五六七八九十]|[二三四](?=[头叉尖角])){0,7}?"
"""Between a period and a count: 每周 涂抹 3次, 24小时 不超过 4次."""
_ONCE = "(?:各(?:服用?|吃|涂|用|擦)?[一1]次)?"
FREQUENCY = re.compile(
    rf"(?:(?<![第\d.])|(?<=\d)(?=[一每隔]))(?:每隔?|间隔|隔)?(?P<every>{NUMBER})?\s*(?P<half>个半)?(?P<period>{_PERIOD})"
    rf"(?:之?内|中|里)?{_GAP}(?P<times>{NUMBER})\s*(?:次|回|遍)(?!性)"
    rf"|(?P<times2>{NUMBER})次(?:/|每)(?P<every2>{NUMBER})?(?P<period2>{_PERIOD})(?!钟)"
    rf"|(?:每隔?|/)(?P<every3>{NUMBER})?\s*(?P<period3>个?月|周|星期|个?礼拜|年|小时)(?!龄|末)"
    rf"|每隔?(?P<every4>{NUMBER})(?P<period4>天|日)"
    rf"|(?<![a-z])(?P<latin>{'|'.join(LATIN)}|b\.i\.d|t\.i\.d|q(?P<hours>\d+)h)(?![a-z])"
    rf"|(?P<thrice>早[、,]?中[、,]?晚(?:[饭餐][前后])?){_ONCE}"
    rf"|(?P<twice>早(?:上|晨)?[、和及]?(?:晚上?)(?=各|一次|都|两次|分别)){_ONCE}"
    r"|每?隔[一1]?(?P<other>[日天周])(?:[^，。；,;\n]{0,4}?[一1]次)?"
)
DAILY = re.compile(r"(?:每|一|1|/)(?:天|日)|每晚|每早|每夜|(?P<twice>早晚)")
"""Said of most things: another text may say once a day."""
QUANTITY = re.compile(
    r"(?P<kg>(?:每|/|按)(?:公斤|千克|kg)(?:体重)?[^，。；,;\n\d]{0,4}?)?"
    rf"(?:(?<![\d.])|(?<=\d)(?=[一二两三四五六七八九十半]))(?:(?<![a-z](?=\d))|(?<=[a-z]{{3}}))(?P<nth>[第这那]|之前的?)?(?!百度)(?P<number>{NUMBER}|(?<![a-z])(?:iii|ii|iv|i|v)(?=[级度期]))(?:\s*多)?(?P<half>个半(?=[小月星钟礼]))?\s*(?P<unit>{_UNIT})"
    r"(?P<tail>(?<![次遍回])半(?![夜身边天流片粒颗包袋支瓶勺年个])|(?<=度)[\d一二三四五六七八九](?![\d十]))?"
    r"(?P<perkg>\s*(?:/|每)\s*(?:kg|公斤|千克)(?!体?重?\s*\d))?"
)
PLAIN = re.compile(r"(?<![\d.a-z/_])(?:\d+\.\d+|\d{2,})(?:\s*[-~/—–]\s*\d+(?:\.\d+)?)?(?![\d.]*[a-z\d])")
"""A number without a unit: a decimal, or two digits and more (a single one mostly numbers a list)."""

_AFTER_NUMBER = re.compile(r"、(?!\d)|[.)．]")


class Quantity(NamedTuple):
    """A kind, a place, and a canonical value."""

    kind: str
    start: int
    end: int
    value: str


def find(text: str) -> Iterator[Quantity]:
    """All quantities of a folded text, in no order; a frequency keeps its numbers to itself."""
    taken = bytearray(len(text))
    for found in FREQUENCY.finditer(text):
        if value := _frequency(found):
            yield _taking(taken, found, "frequency", value)
    for found in DAILY.finditer(text):
        yield Quantity("vague", found.start(), found.end(), "2/day" if found["twice"] else "1/day")
    for found in QUANTITY.finditer(text):
        if not any(taken[found.start() : found.end()]):
            kind, value = _measured(found)
            yield _taking(taken, found, "vague" if found["nth"] else kind, value)
    for found in PLAIN.finditer(text):
        if not any(taken[found.start() : found.end()]) and not _numbers_a_list(text, found):
            yield Quantity("number", found.start(), found.end(), numbers.written(numbers.arabic(found[0])))


def duration(amount: Sequence[float], name: str) -> str:
    """In the largest of minutes, hours, days, months and years that comes out even; half a month is 15 days."""
    if name in MINUTES:
        return _largest([number * MINUTES[name] for number in amount], (("day", 1440), ("hour", 60), ("minute", 1)))
    if name in {"day", "week"}:
        return _largest([number * (7 if name == "week" else 1) for number in amount], (("day", 1),))
    months = [number * (12 if name == "year" else 1) for number in amount]
    if any(number % 1 for number in months):
        return _largest([number * 30 for number in months], (("day", 1),))
    return _largest(months, (("year", 12), ("month", 1)))


def _taking(taken: bytearray, found: "re.Match[str]", kind: str, value: str) -> Quantity:
    taken[found.start() : found.end()] = b"\1" * (found.end() - found.start())
    return Quantity(kind, found.start(), found.end(), value)


def _frequency(found: "re.Match[str]") -> str:
    if latin := found["latin"]:
        return f"1/{found['hours']} hour" if found["hours"] else LATIN[latin.replace(".", "")]
    if found["thrice"] or found["twice"]:
        return "3/day" if found["thrice"] else "2/day"
    if found["other"]:
        return "1/14 day" if found["other"] == "周" else "1/2 day"
    return _times_in_a_period(found)


def _times_in_a_period(found: "re.Match[str]") -> str:
    form = next(form for form in ("", "2", "3", "4") if found[f"period{form}"])
    every, period, opening = found[f"every{form}"], found[f"period{form}"], found[0].lstrip()
    if not form and not every and opening[0] not in "每日隔间":
        return ""
    span = numbers.parse(every) if every else (1.0,)
    if found["half"]:
        span = tuple(end + 0.5 for end in span)
    if not form and TIME[period] == "day" and opening.startswith(("隔", "每隔")) and span == (1.0,):
        span = (2.0,)  # 隔一天 leaves a day out
    times = numbers.written(numbers.parse(found[f"times{form}"])) if form in {"", "2"} else "1"
    interval = duration(span, TIME[period])
    count, _, name = interval.partition(" ")
    return f"{times}/{name if count == '1' else interval}"


def _measured(found: "re.Match[str]") -> tuple[str, str]:
    unit, amount = UNITS[found["unit"]], numbers.parse(found["number"])
    if found["half"] or found["tail"] == "半":
        amount = tuple(number + 0.5 for number in amount)
    elif found["tail"]:
        amount = tuple(number + numbers.parse(found["tail"])[0] / 10 for number in amount)
    if unit.kind == "time":
        return "duration", duration(amount, unit.name)
    if unit.kind == "number" and "/" in found["number"]:
        amount = numbers.arabic(found["number"])  # 140/90 is no fraction
    name = "度" if found["unit"] == "度" and amount[0] <= GRADES else unit.name
    per_kg = "/kg" if unit.kind == "dose" and (found["kg"] or found["perkg"]) else ""
    return unit.kind, f"{numbers.written(amount, unit.factor)} {name}{per_kg}"


def _largest(amounts: Sequence[float], names: tuple[tuple[str, int], ...]) -> str:
    name, size = next((one for one in names if all(amount % one[1] == 0 for amount in amounts)), names[-1])
    return f"{numbers.written(tuple(amount / size for amount in amounts))} {name}"


def _numbers_a_list(text: str, found: "re.Match[str]") -> bool:
    opens = found.start() == 0 or text[found.start() - 1] in "\n。;；,，:： ("
    return opens and "." not in found[0] and _AFTER_NUMBER.match(text, found.end()) is not None
