"""Labels in words, and the words back to the labels: a row is kept only when the two agree.

ner            [{"kind": "症状", "text": "拉肚子"}]                                       症状：拉肚子
relation       [{"subject": "肺炎", "predicate": "临床表现", "object": "咳嗽"}]           肺炎 | 临床表现 | 咳嗽
intent, pair   ["治疗方案"]                                                               治疗方案
normalisation  ["腹泻"]                                                                   腹泻
report         {"主诉": "咳嗽三天", "诊断": "上呼吸道感染"}                               主诉：咳嗽三天 (a line each)
self_cognition ["素问"]                                                                   我是素问，一个医疗助手。
"""

from collections.abc import Callable, Sequence
from typing import Any

from schemas.task import TaskName

NOTHING = "没有"
"""The answer of a list task whose list is empty."""
BETWEEN, PARTS = "；", " | "
TRIPLE = ("subject", "predicate", "object")


def render(task: TaskName, labels: Any) -> str:
    """Labels as the answer to train on; self-cognition has answers of its own and no labels to render."""
    return RENDERED[task](labels)


def parse(task: TaskName, output: str, choices: Sequence[str] = ()) -> Any:
    """The labels that an answer states; raises ValueError when it states none in the task's form."""
    return PARSED[task](output, choices)


def _lists(labels: list[dict[str, str]]) -> str:
    kinds = dict.fromkeys(label["kind"] for label in labels)
    lines = [f"{kind}：{BETWEEN.join(each['text'] for each in labels if each['kind'] == kind)}" for kind in kinds]
    return "\n".join(lines) or NOTHING


def _listed(output: str, choices: Sequence[str]) -> list[dict[str, str]]:
    labels: list[dict[str, str]] = []
    for line in [] if output == NOTHING else output.split("\n"):
        kind, mark, texts = line.partition("：")
        if not mark or kind not in choices:
            raise ValueError(f"no line of a known kind: {line!r}")
        labels += [{"kind": kind, "text": text} for text in texts.split(BETWEEN)]
    return labels


def _triples(labels: list[dict[str, str]]) -> str:
    return "\n".join(PARTS.join(label[name] for name in TRIPLE) for label in labels) or NOTHING


def _of_triples(output: str, choices: Sequence[str]) -> list[dict[str, str]]:
    labels = []
    for line in [] if output == NOTHING else output.split("\n"):
        parts = line.split(PARTS)
        if len(parts) != len(TRIPLE) or parts[1] not in choices:
            raise ValueError(f"no triple of a known relation: {line!r}")
        labels.append(dict(zip(TRIPLE, parts, strict=True)))
    return labels


def _one_of(output: str, choices: Sequence[str]) -> list[str]:
    if output not in choices:
        raise ValueError(f"{output!r} is none of {', '.join(choices)}")
    return [output]


def _terms(output: str, choices: Sequence[str]) -> list[str]:
    return [] if output == NOTHING else output.split(BETWEEN)


def _sections(labels: dict[str, str]) -> str:
    return "\n".join(f"{name}：{text}" for name, text in labels.items())


def _of_sections(output: str, choices: Sequence[str]) -> dict[str, str]:
    sections: dict[str, str] = {}
    name = ""
    for line in output.split("\n"):
        head, mark, rest = line.partition("：")
        if mark and head in choices and head not in sections:
            name = head
            sections[name] = rest
        elif name:
            sections[name] += f"\n{line}"
        else:
            raise ValueError(f"no heading before {line!r}")
    return sections


def _named(output: str, choices: Sequence[str]) -> list[str]:
    return [name for name in choices if name in output]


RENDERED: dict[TaskName, Callable[[Any], str]] = {
    "ner": _lists,
    "relation": _triples,
    "intent": "".join,
    "pair": "".join,
    "normalisation": lambda labels: BETWEEN.join(labels) or NOTHING,
    "report": _sections,
}
PARSED: dict[TaskName, Callable[[str, Sequence[str]], Any]] = {
    "ner": _listed,
    "relation": _of_triples,
    "intent": _one_of,
    "pair": _one_of,
    "normalisation": _terms,
    "report": _of_sections,
    "self_cognition": _named,
}
