"""How many changes of medicine the guard catches, and how many honest rewritings it turns away.

    python tests/benchmarks/guard.py                           # the pairs written by hand in tests/data
    python tests/benchmarks/guard.py --data ../shared/data     # and real answers, changed by the rules below

Hand-written pairs: `guard_pairs` and the freer `guard_pairs_more` were tuned on, `guard_pairs_held_back` was not read. Real answers (Toyhom, up to 1,000 a
kind that hold such a thing) are changed in one place by regular expressions of this script, and wrapped in a greeting
and a wish as a polite rewriter would; controls are the same answers, wrapped and not changed.
"""

import argparse
import csv
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from wilson import interval

from builders.engine.entities.guard import Guard
from builders.engine.entities.lexicon import Lexicon

PAIRS = Path(__file__).parent.parent / "data"
MOST = 1_000
HELLO = ("您好，", "您好，很高兴为您解答。", "家长您好，请不要担心。")
WISH = ("祝您早日康复。", "希望我的回答对您有所帮助，祝您健康！", "如有疑问可以随时咨询，祝您生活愉快。")
DRUGS = {
    "阿莫西林": "头孢克肟",
    "阿司匹林": "氯吡格雷",
    "硝苯地平": "美托洛尔",
    "恩替卡韦": "拉米夫定",
    "拉米夫定": "阿德福韦酯",
    "阿德福韦": "恩替卡韦",
    "干扰素": "胸腺肽",
    "奥美拉唑": "雷尼替丁",
    "多潘立酮": "莫沙必利",
    "吗丁啉": "莫沙必利",
    "二甲双胍": "格列美脲",
    "胰岛素": "阿卡波糖",
    "丙戊酸钠": "卡马西平",
    "卡马西平": "苯妥英钠",
    "苯妥英钠": "苯巴比妥",
    "甲硝唑": "诺氟沙星",
    "氟哌酸": "甲硝唑",
    "卡托普利": "氨氯地平",
    "硝酸甘油": "地高辛",
    "甲巯咪唑": "左甲状腺素",
    "优甲乐": "他巴唑",
    "布洛芬": "安乃近",
    "阿奇霉素": "克林霉素",
    "倍他乐克": "地高辛",
    "辛伐他汀": "非诺贝特",
    "阿托伐他汀": "非诺贝特",
}
NEGATIONS = {
    "不要": "要",
    "不能": "可以",
    "不宜": "可以",
    "不可以": "可以",
    "不建议": "建议",
    "避免": "可以",
    "禁止": "可以",
    "切忌": "可以",
    "没有": "有",
    "不需要": "需要",
    "不用": "需要",
}
NEGATION = re.compile(
    "(?<![能可要需有并不如若])(?:"
    + "|".join(sorted(NEGATIONS, key=len, reverse=True))
    + ")(?!够|过度忧|过分的忧|再为此|有太[多大重]的|有太大|给自己|过度的紧张|用太惊|忧|担心|紧张|害怕|着急|过于|太|大意|拖延|避忌|有心理|灰心|掉以|关系|问题|必要|什么|[，。,?？]|不)"
)
DOSE = re.compile(r"\d+(?:\.\d+)?(?=\s*(?:mg|毫克|g(?!/)|克(?!/)|ml|毫升|片|粒|袋|支|万?单位))", re.IGNORECASE)
COUNT = {"一": "三", "二": "四", "两": "四", "三": "一", "四": "二", "1": "3", "2": "4", "3": "1", "4": "2"}
FREQUENCY = re.compile(r"(?<=[每一1][天日周])([一二两三四1234])(?=次)|(?<=日)([一二两三四1234])(?=次)")
SIDE = re.compile("左(?!右|氧|旋|甲|乙|卡|西)|(?<!左)右(?!旋|美|佐)")


def change_dose(text: str, chance: random.Random) -> str | None:
    """One amount, ten times or twice as much."""
    return one_place(DOSE, text, chance, lambda found: f"{float(found[0]) * chance.choice((2, 10)):g}")


def change_drug(text: str, chance: random.Random) -> str | None:
    """One drug, everywhere, for another that the text does not name."""
    there = [drug for drug, other in DRUGS.items() if drug in text and other not in text]
    if not there:
        return None
    drug = chance.choice(there)
    return text.replace(drug, DRUGS[drug])


def change_negation(text: str, chance: random.Random) -> str | None:
    """One denial, said openly."""
    return one_place(NEGATION, text, chance, lambda found: NEGATIONS[found[0]])


def change_side(text: str, chance: random.Random) -> str | None:
    """One left for right, or right for left."""
    return one_place(SIDE, text, chance, lambda found: "右" if found[0] == "左" else "左")


def change_frequency(text: str, chance: random.Random) -> str | None:
    """One count a day or week for another."""
    return one_place(FREQUENCY, text, chance, lambda found: COUNT[found[0]])


def one_place(
    pattern: re.Pattern[str], text: str, chance: random.Random, becomes: Callable[[re.Match[str]], str]
) -> str | None:
    """The text with one match exchanged; None without any."""
    places = list(pattern.finditer(text))
    if not places:
        return None
    found = chance.choice(places)
    return text[: found.start()] + becomes(found) + text[found.end() :]


CHANGES = {
    "dose": change_dose,
    "drug": change_drug,
    "negation": change_negation,
    "side": change_side,
    "frequency": change_frequency,
}


def hand_written(guard: Guard, path: Path) -> Iterator[str]:
    """Table lines for a file of pairs."""
    told: Counter[tuple[str, bool]] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        told[pair["change"], guard.compare(pair["raw"], pair["polished"]).faithful] += 1
    kinds = sorted({kind for kind, _ in told if kind})
    yield from table(path.stem, told, kinds)


def table(name: str, told: Counter[tuple[str, bool]], kinds: list[str]) -> Iterator[str]:
    """Caught per kind and in all, and honest texts turned away."""
    for kind in kinds:
        caught, all_of_it = told[kind, False], told[kind, False] + told[kind, True]
        yield f"| {name} | {kind} caught | {caught} / {all_of_it} | {interval(caught, all_of_it)} |"
    caught = sum(told[kind, False] for kind in kinds)
    changed = caught + sum(told[kind, True] for kind in kinds)
    yield f"| {name} | all changes caught | {caught} / {changed} | {interval(caught, changed)} |"
    away, honest = told["", False], told["", False] + told["", True]
    yield f"| {name} | faithful turned away | {away} / {honest} | {interval(away, honest)} |"


def real_answers(guard: Guard, path: Path, show: int) -> Iterator[str]:
    """Table lines for changed real answers."""
    with path.open(encoding="gb18030", newline="") as file:
        answers = list(dict.fromkeys(row[3] for row in list(csv.reader(file))[1:]))
    chance = random.Random(7)
    chance.shuffle(answers)
    told: Counter[tuple[str, bool]] = Counter()
    for kind, change in CHANGES.items():
        for answer in answers:
            if told[kind, True] + told[kind, False] >= MOST:
                break
            changed = change(answer, chance)
            if changed is not None and changed != answer:
                faithful = guard.compare(answer, wrapped(changed, chance)).faithful
                told[kind, faithful] += 1
                if faithful and told[kind, True] <= show:
                    print(f"missed {kind}: {difference(answer, changed)}")
    for answer in answers[:MOST]:
        told["", guard.compare(answer, wrapped(answer, chance)).faithful] += 1
    yield from table("real answers", told, list(CHANGES))


def difference(one: str, other: str) -> str:
    """The changed place and what stands around it."""
    at = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    return f"{one[max(0, at - 15) : at + 20]}  =>  {other[max(0, at - 15) : at + 20]}"


def wrapped(text: str, chance: random.Random) -> str:
    """As a polite rewriter begins and ends."""
    stop = "" if text.rstrip()[-1:] in "。！？!?.;；，," else "。"
    return chance.choice(HELLO) + text + stop + chance.choice(WISH)


def main() -> None:
    """Print one table."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", type=Path, help="folder of real data; without it, the hand-written pairs alone")
    flags.add_argument("--show", type=int, default=0, help="print this many missed changes of real answers a kind")
    flags.add_argument(
        "--pairs", default="guard_pairs,guard_pairs_more,guard_pairs_held_back", help="files of tests/data, or none"
    )
    asked = flags.parse_args()
    guard = Guard(Lexicon.built_in())
    lines = [line for name in asked.pairs.split(",") if name for line in hand_written(guard, PAIRS / f"{name}.jsonl")]
    if asked.data:
        lines += real_answers(guard, next((asked.data / "toyhom_zh_qa").glob("*.csv")), asked.show)
    print("| pairs | figure | count | 95 % interval |\n|---|---|---|---|", *lines, sep="\n")


if __name__ == "__main__":
    main()
