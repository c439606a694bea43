"""Doses, frequencies, durations and measured values, each as one value in one unit.

0.5克 → 500 mg    一天三次 = tid = 早中晚各一次 → 3/day    半年复查一次 → 1/6 month    两周 → 14 day    38度5 → 38.5 ℃
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from builders.engine.entities import numbers
from builders.engine.entities.numbers import NUMBER, ONE

MASS = {
    "g": 1000.0,
    "克": 1000.0,
    "mg": 1.0,
    "毫克": 1.0,
    "㎎": 1.0,
    "ug": 1e-3,
    "μg": 1e-3,
    "µg": 1e-3,
    "mcg": 1e-3,
    "微克": 1e-3,
}
MASS |= {"kg": 1e6, "公斤": 1e6, "千克": 1e6, "斤": 5e5, "ng": 1e-6}
VOLUME = {"ml": 1.0, "毫升": 1.0, "㎖": 1.0, "cc": 1.0, "l": 1000.0, "升": 1000.0}
ACTIVITY = {"iu": 1.0, "u": 1.0, "单位": 1.0, "国际单位": 1.0, "万单位": 1e4, "万u": 1e4, "万iu": 1e4, "miu": 1e6}
PIECES = {"片": "片", "粒": "粒", "颗": "粒", "枚": "粒", "丸": "粒", "袋": "袋", "包": "袋", "支": "支", "滴": "滴"}
PIECES |= {"喷": "喷", "揿": "喷", "吸": "喷", "贴": "贴", "勺": "勺", "瓶": "瓶", "盒": "盒", "掀": "喷"}
MEASURED = {
    "岁": "岁",
    "周岁": "岁",
    "℃": "℃",
    "度": "℃",
    "摄氏度": "℃",
    "%": "%",
    "次/分": "次/分",
    "次/分钟": "次/分",
    "级": "级",
    "期": "期",
}
MEASURED |= {
    "mmhg": "mmhg",
    "毫米汞柱": "mmhg",
    "cm": "cm",
    "厘米": "cm",
    "公分": "cm",
    "㎝": "cm",
    "倍": "倍",
    "个疗程": "疗程",
    "疗程": "疗程",
}
MEASURED |= {
    unit: unit
    for unit in ("mmol/l", "umol/l", "nmol/l", "pmol/l", "g/l", "mg/l", "mg/dl", "u/l", "iu/l", "iu/ml", "ng/ml", "kpa")
}
MEASURED |= {
    "μmol/l": "umol/l",
    "µmol/l": "umol/l",
    "copies/ml": "copies/ml",
    "拷贝": "copies/ml",
    "次": "次",
    "回": "次",
    "遍": "次",
}
LENGTH = {"mm": 0.1, "毫米": 0.1, "㎜": 0.1, "m": 100.0, "米": 100.0}
TIME = {
    "秒": "second",
    "分钟": "minute",
    "小时": "hour",
    "钟头": "hour",
    "个小时": "hour",
    "个钟头": "hour",
    "h": "hour",
    "天": "day",
    "日": "day",
}
TIME |= {
    "周": "week",
    "星期": "week",
    "礼拜": "week",
    "个星期": "week",
    "个礼拜": "week",
    "个月": "month",
    "月": "month",
    "年": "year",
    "晚": "day",
    "早": "day",
}
TIME |= {"d": "day", "夜": "day", "晚上": "day", "min": "minute", "周年": "year"}
UNITS = {**MASS, **VOLUME, **ACTIVITY, **PIECES, **MEASURED, **LENGTH, **TIME}
GRADES = 4
"""二度 is a grade; 37度 is a temperature."""
LATIN = {
    "qd": "1/day",
    "bid": "2/day",
    "tid": "3/day",
    "qid": "4/day",
    "qn": "1/day",
    "hs": "1/day",
    "qod": "1/2 day",
    "qw": "1/7 day",
    "biw": "2/7 day",
}

_LATIN_END = r"(?![a-z])"
_UNIT = "|".join(
    re.escape(unit) + (_LATIN_END if unit[-1].isascii() and unit[-1].isalpha() else "")
    for unit in sorted(UNITS, key=len, reverse=True)
    if unit not in {"晚", "早", "夜", "d", "晚上"}
)
_PERIOD = "|".join(re.escape(unit) for unit in sorted(TIME, key=len, reverse=True) if unit not in {"秒"})
DAILY = re.compile(r"(?:每|一|1|/)(?:天|日)|每晚|每早|每夜")
"""Said of most things: another text may say once a day."""
PER_KG = r"(?:\s*(?:/|每)\s*(?:kg|公斤|千克))"
QUANTITY = re.compile(
    rf"(?P<kg>(?:每|/|按)(?:公斤|千克|kg)(?:体重)?(?:[^，。；,;\n\d]{{0,4}}?))?(?<![\d.a-z])(?P<nth>第)?(?P<number>{NUMBER})(?P<more>\s*多)?"
    rf"(?P<half>个半(?=[小月星钟礼]))?\s*(?P<unit>{_UNIT})(?P<tail>(?<![次遍回])半(?![夜身边天片粒颗包袋支瓶勺])|(?<=度)[\d一二三四五六七八九](?![\d十]))?(?P<perkg>{PER_KG})?"
)
PLAIN = re.compile(r"(?<![\d.a-z/_])(?:\d+\.\d+|\d{2,})(?:\s*[-~/—–]\s*\d+(?:\.\d+)?)?(?![\d.]*[a-z\d])")
"""A number without a unit: a decimal, or two digits and more (a single one mostly numbers a list)."""
_GAP = r"[^，。；、,;.！？!?\n\d后前每天日周月年各共连半零一二两三四五六七八九十零]{0,6}?"
FREQUENCY = re.compile(
    rf"(?<![第\d.])(?:每隔?|间隔|隔)?(?P<every>{NUMBER})?\s*(?P<half>个半)?(?P<period>{_PERIOD})(?:之?内|中|里)?(?P<gap>{_GAP})(?P<times>{NUMBER})\s*(?:次|回|遍)(?!性)"
    rf"|(?P<times2>{NUMBER})次(?:/|每)(?P<every2>{NUMBER})?(?P<period2>{_PERIOD})(?!钟)"
    rf"|(?:每隔?|/)(?P<every3>{NUMBER})?\s*(?P<period3>个?月|周|星期|个?礼拜|年|小时)(?!龄|末)"
    rf"|每隔?(?P<every4>{NUMBER})(?P<period4>天|日)"
    r"|(?<![a-z])(?P<latin>qd|bid|tid|qid|qn|hs|qod|qw|biw|b\.i\.d|t\.i\.d|q(?P<hours>\d+)h)(?![a-z])"
    r"|(?P<thrice>早[、,]?中[、,]?晚(?:[饭餐][前后])?)(?:各(?:服用?|吃|涂|用)?[一1]次)?|(?P<twice>早(?:上|晨)?[、和及]?(?:晚上?)(?=各|一次|都|两次|分别))(?:各(?:服用?|吃|涂|用|擦)?[一1]次)?|每?隔[一1]?(?P<other>[日天周])(?:[^，。；,;\n]{0,4}?(?:一|1)次)?"
)


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
        value = _frequency(found)
        if value:
            taken[found.start() : found.end()] = b"\1" * (found.end() - found.start())
            yield Quantity("frequency", found.start(), found.end(), value)
    for found in DAILY.finditer(text):
        yield Quantity("vague", found.start(), found.end(), "1/day")
    for found in QUANTITY.finditer(text):
        if not any(taken[found.start() : found.end()]):
            taken[found.start() : found.end()] = b"\1" * (found.end() - found.start())
            yield _quantity(found)
    for found in PLAIN.finditer(text):
        if not any(taken[found.start() : found.end()]) and not _numbers_a_list(text, found):
            yield Quantity("number", found.start(), found.end(), numbers.written(_plain(found[0])))
    return


def _frequency(found: "re.Match[str]") -> str:
    groups = found.groupdict()
    if latin := groups["latin"]:
        return f"1/{groups['hours']} hour" if groups["hours"] else LATIN[latin.replace(".", "")]
    if groups["thrice"] or groups["twice"]:
        return "3/day" if groups["thrice"] else "2/day"
    if groups["other"]:
        return "1/14 day" if groups["other"] == "周" else "1/2 day"
    nth = next(mark for mark in ("", "2", "3", "4") if groups.get(f"period{mark}"))
    every, period = groups[f"every{nth}"], groups[f"period{nth}"]
    if not nth and not every and found[0].lstrip()[0] not in "每日隔间":
        return ""
    span = numbers.parse(every) if every else (1.0,)
    span = tuple(end + 0.5 for end in span) if groups["half"] else span
    if not nth and TIME[period] == "day" and found[0].lstrip().startswith(("隔", "每隔")) and span == (1.0,):
        span = (2.0,)
    times = groups.get(f"times{nth}") if nth in {"", "2"} else None
    interval = duration(span, TIME[period])
    return f"{numbers.written(numbers.parse(times)) if times else 1}/{interval.removeprefix('1 ') if interval in {'1 day', '1 month', '1 year', '1 hour'} else interval}"


def _quantity(found: "re.Match[str]") -> Quantity:
    unit, at, end = found["unit"], found.start(), found.end()
    amount = numbers.parse(found["number"])
    if found["half"] or found["tail"] == "半":
        amount = tuple(number + 0.5 for number in amount)
    elif found["tail"]:
        amount = tuple(number + numbers.parse(found["tail"])[0] / 10 for number in amount)
    if unit in TIME:
        return Quantity("vague" if found["nth"] else "duration", at, end, duration(amount, TIME[unit]))
    kind, value = _measured(amount, unit, found["number"])
    per_kg = bool(found["kg"] or found["perkg"]) and kind == "dose"
    return Quantity("vague" if found["nth"] else kind, at, end, f"{value}/kg" if per_kg else value)


def _measured(amount: tuple[float, ...], unit: str, text: str) -> tuple[str, str]:
    for family, name in ((MASS, "mg"), (VOLUME, "ml"), (ACTIVITY, "iu")):
        if unit in family:
            return "dose", f"{numbers.written(amount, family[unit])} {name}"
    if unit in PIECES:
        return "dose", f"{numbers.written(amount)} {PIECES[unit]}"
    if unit in LENGTH:
        return "number", f"{numbers.written(amount, LENGTH[unit])} cm"
    name = "度" if unit == "度" and amount[0] <= GRADES else MEASURED[unit]
    return "number", f"{numbers.written(_plain(text) if '/' in text else amount)} {name}"


def duration(amount: tuple[float, ...], unit: str) -> str:
    """In the largest of minutes, hours, days, months and years that comes out even; weeks are days, half a month 15 days."""
    if unit in {"second", "minute", "hour"}:
        minutes = [number * {"second": 1 / 60, "minute": 1, "hour": 60}[unit] for number in amount]
        return _largest(minutes, (("day", 1440), ("hour", 60), ("minute", 1)))
    if unit in {"day", "week"}:
        return _largest([number * (7 if unit == "week" else 1) for number in amount], (("day", 1),))
    months = [number * (12 if unit == "year" else 1) for number in amount]
    if any(number % 1 for number in months):
        return _largest([number * 30 for number in months], (("day", 1),))
    return _largest(months, (("year", 12), ("month", 1)))


def _largest(amounts: list[float], names: tuple[tuple[str, int], ...]) -> str:
    name, size = next((one for one in names if all(amount % one[1] == 0 for amount in amounts)), names[-1])
    return f"{numbers.written(tuple(amount / size for amount in amounts))} {name}"


def _plain(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in re.findall(r"\d+(?:\.\d+)?", text))


def _numbers_a_list(text: str, found: "re.Match[str]") -> bool:
    opens = found.start() == 0 or text[found.start() - 1] in "\n。;；,，:： ("
    return opens and "." not in found[0] and text[found.end() : found.end() + 1] in {"、", ".", ")", "．"}


__all__ = ["NUMBER", "ONE", "Quantity", "duration", "find"]
