"""Numbers as doctors write them: 0.5, 1/2, 三, 两, 半, 十二, 一百五, 两三, 2-3, 一到两."""

import re

DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}
TENS = {"十": 10, "百": 100, "千": 1000, "万": 10000}
ROMAN = {"i": 1.0, "ii": 2.0, "iii": 3.0, "iv": 4.0, "v": 5.0}
ARABIC = r"\d+(?:\.\d+)?"
CHINESE = r"(?:[零〇一二两俩三四五六七八九十百千万]+(?:点[零〇一二三四五六七八九]+)?|半)"
ONE = rf"(?:{ARABIC}万?|{CHINESE})"
TO = r"(?:\s*(?:[-~—–]+|至|到|或)\s*|(?<=[\d一二两三四五六七八])(?<!\d\d)、(?=[\d二三四五六七八九](?!\d)))"
NUMBER = rf"(?:{ARABIC}\s*/\s*{ARABIC}|[二三四五六七八九十]分之[一二两三四五六七八九]|{ONE}(?:{TO}{ONE})?)"
"""One number, a fraction or a range."""
_SPLIT = re.compile(TO)


def parse(text: str) -> tuple[float, ...]:
    """One number, or the two ends of a range: "一百五" (150,), "2-3" (2, 3), "两三" (2, 3), "1/2" (0.5,)."""
    if text in ROMAN:
        return (ROMAN[text],)
    if "/" in text:
        above, below = (float(part) for part in text.split("/"))
        return (above / below,) if 0 < above < below < 10 else (above, below)
    if "分之" in text:
        below_text, above_text = text.split("分之")
        return (_chinese(above_text) / _chinese(below_text),)
    ends = [part for part in _SPLIT.split(text) if part]
    return tuple(number for end in ends for number in _ends(end))


def arabic(text: str) -> tuple[float, ...]:
    """All Arabic numbers: "140/90" (140, 90)."""
    return tuple(float(number) for number in re.findall(ARABIC, text))


def written(numbers: tuple[float, ...], factor: float = 1) -> str:
    """Canonical text: "2.5", "2-3"."""
    return "-".join(f"{number * factor:.6g}" for number in numbers)


def _ends(text: str) -> tuple[float, ...]:
    if text[0].isdigit():
        return (float(text.removesuffix("万")) * (10000 if text.endswith("万") else 1),)
    if len(text) == 2 and all(sign in DIGITS for sign in text):  # 两三天 is two to three
        return (float(DIGITS[text[0]]), float(DIGITS[text[1]]))
    return (_chinese(text),)


def _chinese(text: str) -> float:
    if text == "半":
        return 0.5
    whole, _, decimals = text.partition("点")
    value = float(_whole(whole))
    return value + float("0." + "".join(str(DIGITS[sign]) for sign in decimals)) if decimals else value


def _whole(text: str) -> int:
    if all(sign in DIGITS for sign in text):  # 二零二四: read digit by digit
        return int("".join(str(DIGITS[sign]) for sign in text) or 0)
    total = section = digit = 0
    scale = 1
    for sign in text:
        if sign in DIGITS:
            digit = DIGITS[sign]
        elif sign == "万":
            total, section, digit, scale = (total + section + digit or 1) * 10000, 0, 0, 10000
        else:
            scale = TENS[sign]
            section, digit = section + (digit or 1) * scale, 0
    short = scale // 10 if digit and scale >= 100 and text[-2] in TENS else 1  # 一百五 is 150, 一百零五 is 105
    return total + section + digit * short
