"""A knowledge graph beside real consultations: what it says of the doctor's statements, and what it has no say in."""

import json
from pathlib import Path

import pytest
from clinic import Teacher, build, cmdd, politely, rejected, rows

VISIT = (
    "患：宝宝八个月，发烧38.5℃，一天了，要紧吗",
    "医：可以口服布洛芬混悬液退烧",
    "患：一天能吃几次",
    "医：间隔六小时以上，一天不超过四次",
)
SAID = "可以口服布洛芬混悬液退烧"
FACTS = (("布洛芬", "适应证", "发热"), ("布洛芬", "禁忌证", "消化道溃疡"), ("奥美拉唑", "适应证", "反流性食管炎"))


def graph(*triples, tail=""):
    lines = [
        json.dumps(dict(zip(("head", "relation", "tail"), one, strict=True)), ensure_ascii=False) for one in triples
    ]
    Path("graph.jsonl").write_text("\n".join([*lines, tail]), encoding="utf-8")
    return "graph.jsonl"


def claim(n=1, text=SAID, verdict="supported", f=0):
    return {"n": n, "text": text, "verdict": verdict, "f": f}


def checked(serve, *claims, visits=(VISIT,), knowledge=None):
    """Consultations as they were spoken, held against the graph by a teacher who finds these claims."""
    teacher = Teacher(serve, lambda asked: {"claims": claims})
    flags = ("--as-spoken", "--knowledge", knowledge or graph(*FACTS))
    return build("curate_dialogues", cmdd("visits", visits), *flags, *teacher.flags), teacher


def kept_claims(serve, *claims):
    made, _ = checked(serve, *claims)
    assert made.code == 0, made.talk
    (row,) = rows("curate_dialogues")
    return [tuple(one.values()) for one in row["claims"]]


def test_a_statement_that_the_graph_supports_stands_in_the_row_with_its_fact(serve):
    assert kept_claims(serve, claim()) == [(1, SAID, "supported", "布洛芬 适应证 发热")]


def test_only_facts_about_what_the_doctor_names_are_shown(serve):
    _, teacher = checked(serve, claim())
    (asked,) = teacher.told("check_claims")
    assert [fact["text"] for fact in asked["facts"]] == ["布洛芬 适应证 发热", "布洛芬 禁忌证 消化道溃疡"]
    assert [fact["f"] for fact in asked["facts"]] == [0, 1]
    assert [turn["n"] for turn in asked["turns"]] == [1, 3]


def test_a_consultation_that_the_graph_contradicts_is_rejected_with_words_and_fact(serve):
    other = ("患：胃里反酸，烧心半个月了怎么办", "医：多久一次？", "患：天天有", "医：睡前口服奥美拉唑，戒酒")
    teacher = Teacher(
        serve, lambda asked: {"claims": [claim(verdict="contradicted", f=1)] if SAID in asked.block else []}
    )
    flags = ("--as-spoken", "--knowledge", graph(*FACTS), *teacher.flags)
    made = build("curate_dialogues", cmdd("visits", [VISIT, other]), *flags)
    assert (made.said["rows"], made.said["rejected"]) == (1, {"contradicted by the graph": 1})
    (found,) = rejected()
    assert found["detail"] == f"{SAID} | 布洛芬 禁忌证 消化道溃疡"


@pytest.mark.parametrize(
    "made_up",
    [
        claim(text="可以口服头孢", verdict="contradicted"),
        claim(n=3, verdict="contradicted"),
        claim(n=0, text="发烧38.5℃", verdict="contradicted"),
        claim(n=9, verdict="contradicted"),
        claim(text="", verdict="contradicted"),
    ],
)
def test_a_claim_that_the_doctor_did_not_make_is_dropped(serve, made_up):
    assert kept_claims(serve, made_up) == []


@pytest.mark.parametrize(
    "unsure", [claim(f=2), claim(f=-1), claim(verdict="contradicted", f=2), claim(verdict="unknown", f=0)]
)
def test_a_verdict_that_names_no_fact_shown_is_unknown(serve, unsure):
    assert kept_claims(serve, unsure) == [(1, SAID, "unknown", "")]


def test_nobody_is_asked_where_the_graph_knows_nothing(serve):
    made, teacher = checked(serve, knowledge=graph(FACTS[2]))
    assert (made.said["rows"], teacher.heard) == (1, [])


def test_reworded_statements_are_checked_as_they_will_be_read(serve):
    said = f"您好，{SAID}"
    teacher = Teacher(
        serve, lambda asked: {"claims": [claim(text=said)]} if asked.prompt == "check_claims" else politely(asked)
    )
    build("curate_dialogues", cmdd("visits", [VISIT]), "--knowledge", graph(*FACTS), *teacher.flags)
    (row,) = rows("curate_dialogues")
    assert [(one["text"], one["verdict"]) for one in row["claims"]] == [(said, "supported")]


def test_lines_of_a_graph_that_hold_no_fact_are_told(serve):
    made, _ = checked(serve, claim(), knowledge=graph(*FACTS, tail='{"head": "布洛芬"}\n不是JSON\n'))
    assert made.code == 0
    assert "graph.jsonl: line 4" in made.talk


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.jsonl", None, "missing.jsonl"),
        ("empty.jsonl", "", "empty.jsonl"),
        ("note.jsonl", '{"note": 1}\n', "note.jsonl: line 1"),
    ],
)
def test_a_graph_without_facts_is_bad_input(serve, name, content, said):
    if content is not None:
        Path(name).write_text(content)
    made, teacher = checked(serve, claim(), knowledge=name)
    assert (made.code, teacher.heard) == (2, [])
    assert said in made.talk.splitlines()[-1]
    assert "Traceback" not in made.talk


def test_the_card_names_the_graph_by_its_content(serve):
    checked(serve, claim())
    card = Path("set/README.md").read_text()
    assert "graph.jsonl (knowledge graph, sha256 " in card
    assert "check_claims" in card
