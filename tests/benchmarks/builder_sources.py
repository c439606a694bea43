"""Sources for the benchmark of the builders, written from templates: real-shaped answers, cases and consultations.

Words come from the package's own lists, so that lexicon, guard and masking have as much to read as in real rows.
"""

import csv
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from builders.engine.entities.lexicon import BUILT_IN
from schemas.case import CaseFile, Fact

HABITS = (
    "熬夜",
    "久坐",
    "受凉",
    "饮酒",
    "吸烟",
    "吃生冷",
    "吃辛辣油腻",
    "剧烈运动",
    "情绪激动",
    "用眼过度",
    "憋尿",
    "节食",
)
CAUSES = ("劳累", "受凉", "作息不规律", "饮食不当", "工作压力大", "季节变化", "长期伏案", "缺少运动", "睡眠不足")
TIMES = ("早上起床时", "饭后", "夜里", "走路时", "下午", "受凉以后", "劳累以后", "上下楼梯时", "坐久了以后")
DEPARTMENTS = ("消化内科", "呼吸内科", "心血管内科", "神经内科", "骨科", "皮肤科", "内分泌科", "泌尿外科")
WHO = ("我今年", "我母亲今年", "我父亲今年", "我爱人今年")


class Words(NamedTuple):
    """Names to fill templates with."""

    drugs: tuple[str, ...]
    diseases: tuple[str, ...]
    symptoms: tuple[str, ...]
    tests: tuple[str, ...]


def words() -> Words:
    """Canonical names of three to six characters from the built-in lists."""
    return Words(*(tuple(_names(kind)) for kind in Words._fields))


def _names(kind: str) -> Iterator[str]:
    for line in (BUILT_IN / f"{kind}.txt").read_text(encoding="utf-8").splitlines():
        name = line.partition("#")[0].partition("=")[0].strip()
        if 3 <= len(name) <= 6 and name.isalpha() and not name.isascii():
            yield name


def answers(path: Path, count: int) -> None:
    """So many real-shaped questions and answers, as a CSV in Toyhom's columns."""
    with path.open("w", newline="", encoding="utf-8") as opened:
        table = csv.writer(opened)
        table.writerow(("department", "title", "ask", "answer"))
        for chance, known in _draws(count):
            table.writerow((chance.choice(DEPARTMENTS), "", complaint(chance, known), advice(chance, known)))


def cases(path: Path, count: int) -> None:
    """So many case files of eight facts, six of which the patient can tell."""
    with path.open("w", encoding="utf-8") as opened:
        for number, (chance, known) in enumerate(_draws(count)):
            opened.write(case(str(number), chance, known).model_dump_json() + "\n")


def consultations(path: Path, count: int) -> None:
    """So many consultations of four turns of each, as chat messages."""
    with path.open("w", encoding="utf-8") as opened:
        for number, (chance, known) in enumerate(_draws(count)):
            texts = list(_talk(chance, known))
            messages = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(texts)]
            opened.write(json.dumps({"id": str(number), "messages": messages}, ensure_ascii=False) + "\n")


def _draws(count: int) -> Iterator[tuple[random.Random, Words]]:
    known = words()
    return ((random.Random(number), known) for number in range(count))


def complaint(chance: random.Random, known: Words) -> str:
    """What a patient writes."""
    first, second = chance.sample(known.symptoms, 2)
    return (
        f"{chance.choice(WHO)}{chance.randint(20, 75)}岁，{first}{chance.randint(2, 20)}天了，{chance.choice(TIMES)}更明显，"
        f"还有{second}，吃过{chance.choice(known.drugs)}，以前得过{chance.choice(known.diseases)}，请问应该怎么办？"
    )


def advice(chance: random.Random, known: Words) -> str:
    """What a doctor answers: seven kinds of sentence, all names and figures drawn."""
    first, second = chance.sample(known.drugs, 2)
    test, other = chance.sample(known.tests, 2)
    told = [
        f"从描述来看考虑{chance.choice(known.diseases)}，多和{chance.choice(CAUSES)}、{chance.choice(CAUSES)}有关。",
        f"建议到{chance.choice(DEPARTMENTS)}做{test}，必要时加做{other}。",
        f"可以口服{first}，每次{chance.randint(2, 9) * 50}毫克，每天{chance.randint(2, 4)}次，连用{chance.randint(3, 14)}天。",
        f"{chance.choice(TIMES)}如果{chance.choice(known.symptoms)}明显，再加用{second}{chance.randint(1, 3)}片。",
        f"平时注意休息，避免{chance.choice(HABITS)}和{chance.choice(HABITS)}。",
        f"出现{chance.choice(known.symptoms)}或者{chance.choice(known.symptoms)}时要及时复诊。",
    ]
    return "".join(told)


def case(id: str, chance: random.Random, known: Words) -> CaseFile:
    """One case."""
    first, second, third = chance.sample(known.symptoms, 3)
    days = chance.randint(2, 20)
    facts = {
        "主诉": f"{first}{days}天，{chance.choice(TIMES)}更明显",
        "伴随症状": f"还有{second}和{third}",
        "年龄": f"{chance.randint(20, 75)}岁",
        "既往史": f"以前得过{chance.choice(known.diseases)}",
        "过敏史": f"对{chance.choice(known.drugs)}过敏",
        "用药": f"自己吃过{chance.choice(known.drugs)}，没有好转",
    }
    finding = Fact(
        name=chance.choice(known.tests), value=f"提示{chance.choice(known.symptoms)}改变", seen_by=("doctor",)
    )
    return CaseFile(
        id=id,
        department=chance.choice(DEPARTMENTS),
        complaint=first,
        facts=(*(Fact(name=name, value=value) for name, value in facts.items()), finding),
        diagnosis=chance.choice(known.diseases),
        advice=advice(chance, known),
        source="templates",
        license="cc0-1.0",
    )


def _talk(chance: random.Random, known: Words) -> Iterator[str]:
    one = case("0", chance, known)
    told = {fact.name: fact.value for fact in one.facts}
    yield f"{told['年龄']}，{one.complaint}，{told['主诉']}，请问是怎么回事？"
    yield f"你好，除了{one.complaint}还有什么不舒服吗？"
    yield f"{told['伴随症状']}，{chance.choice(TIMES)}也会这样"
    yield "以前得过什么病，对什么药过敏吗？"
    yield f"{told['既往史']}，{told['过敏史']}"
    yield f"现在吃的是什么药？查过{chance.choice(known.tests)}没有？"
    yield f"{told['用药']}，检查还没有做"
    yield one.advice


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "polish_qa": answers,
    "simulate_dialogues": cases,
    "curate_dialogues": consultations,
}
FILES = {"polish_qa": "answers.csv", "simulate_dialogues": "cases.jsonl", "curate_dialogues": "consultations.jsonl"}
