"""A short real consultation drawn out to a longer one: the question as it was asked, nothing new from either side."""

from pathlib import Path

import pytest
from clinic import Teacher, build, cmdd, figures, politely, rejected, rows

SHORT = (
    "患：孩子两岁，晚上睡觉老是磨牙，是不是有蛔虫？",
    "医：磨牙不一定是蛔虫，可以查大便常规。睡前不要太兴奋，暂时不要吃打虫药。",
)
LONG = (
    "患：宝宝八个月，发烧38.5℃，一天了",
    "医：精神怎么样？",
    "患：精神还好",
    "医：口服布洛芬混悬液，每次2.5ml，一日三次",
)
QUESTION, ANSWER = (bubble[2:] for bubble in SHORT)
ASKS = "您好，孩子磨牙多长时间了？"
ASKS_MORE = "平时挑食吗？"
SAYS, FORBIDS = "磨牙不一定是蛔虫，可以查大便常规。", "睡前不要太兴奋，暂时不要吃打虫药。"


def dialogue(*said):
    """Turns as a teacher gives them, from the patient on by turns."""
    sides = ("patient", "doctor")
    return {"turns": [{"speaker": sides[n % 2], "text": text} for n, text in enumerate(said)]}


FAITHFUL = dialogue(QUESTION, ASKS, "有一个多月了", ASKS_MORE, "不挑食", SAYS + FORBIDS)


def expand(serve, *drafts, more=()):
    left = iter(drafts)
    teacher = Teacher(serve, lambda asked: next(left) if asked.prompt == "expand_dialogue" else politely(asked))
    made = build("curate_dialogues", cmdd("visits", [SHORT]), *teacher.flags, "--expand", *more)
    return made, teacher


def test_an_expanded_consultation_says_so_and_opens_with_the_very_question(serve):
    made, teacher = expand(serve, FAITHFUL)
    assert made.code == 0, made.talk
    (row,) = rows("curate_dialogues")
    assert row["origin"] == "expanded"
    assert [turn["speaker"] for turn in row["turns"]] == ["patient", "doctor"] * 3
    assert row["turns"][0]["text"] == QUESTION
    assert [turn["act"] for turn in row["turns"][1::2]] == ["ask", "ask", "advise"]
    assert teacher.told("expand_dialogue") == [{"question": QUESTION, "answer": ANSWER, "turns": 3}]
    assert figures(row)["turns"] == 3


def test_only_the_short_ones_are_expanded(serve):
    teacher = Teacher(serve, lambda asked: FAITHFUL if asked.prompt == "expand_dialogue" else politely(asked))
    build("curate_dialogues", cmdd("visits", [LONG, SHORT]), *teacher.flags, "--expand")
    assert [row["origin"] for row in rows("curate_dialogues")] == ["rewritten", "expanded"]
    assert sorted(asked.prompt for asked in teacher.heard) == ["expand_dialogue", "rewrite_doctor"]


def test_as_spoken_leaves_the_long_ones_alone_and_expands_the_short_ones(serve):
    teacher = Teacher(serve, lambda _: FAITHFUL)
    build("curate_dialogues", cmdd("visits", [LONG, SHORT]), *teacher.flags, "--expand", "--as-spoken")
    assert [row["origin"] for row in rows("curate_dialogues")] == ["real", "expanded"]
    assert len(teacher.heard) == 1


def test_the_doctor_speaks_as_often_as_asked_for(serve):
    two = dialogue(QUESTION, ASKS, "有一个多月了", SAYS + FORBIDS)
    made, teacher = expand(serve, two, more=("--expand-to", 2))
    assert made.said["rows"] == 1
    assert teacher.told("expand_dialogue")[0]["turns"] == 2
    rejected_here, _ = expand(serve, two, more=("--short", "--out", "three"))
    assert rejected_here.said["rejected"] == {"expanded: wrong turns": 1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((QUESTION[:-1], ASKS, "有一个多月了", ASKS_MORE, "不挑食", SAYS + FORBIDS), "expanded: question changed"),
        ((QUESTION, ASKS, "  ", ASKS_MORE, "不挑食", SAYS + FORBIDS), "expanded: empty turn"),
        ((QUESTION, ASKS, "有一个多月了", SAYS + FORBIDS), "expanded: wrong turns"),
    ],
)
def test_a_dialogue_of_another_shape_is_rejected_at_once(serve, said, reason):
    made, teacher = expand(serve, dialogue(*said))
    assert (made.code, made.said["rejected"]) == (3, {reason: 1})
    assert len(teacher.heard) == 1


@pytest.mark.parametrize(
    ("place", "text", "reason", "told"),
    [
        (2, "有一个多月了，还咳嗽，查过是肺炎", "entity guard, invented: ", "肺炎"),
        (4, "不挑食，吃过阿苯达唑", "entity guard, invented: drug", "阿苯达唑"),
        (5, SAYS + FORBIDS + "可以口服阿苯达唑片。", "entity guard, invented: drug", "阿苯达唑"),
        (5, SAYS + FORBIDS.replace("暂时不要吃", "可以先吃"), "entity guard, lost: negation", "不要"),
        (5, FORBIDS, "entity guard, lost: ", "大便常规"),
    ],
)
def test_what_the_real_doctor_and_patient_did_not_say_is_told_once_and_then_rejected(serve, place, text, reason, told):
    said = [turn["text"] for turn in FAITHFUL["turns"]]
    said[place] = text
    wrong = dialogue(*said)
    made, teacher = expand(serve, wrong, wrong)
    assert made.code == 3
    ((found, count),) = made.said["rejected"].items()
    assert (found[: len(reason)], count) == (reason, 1)
    second = teacher.told("expand_dialogue")[1]
    assert second["draft"] == wrong["turns"]
    assert any(told in one for one in [*second["lost"], *second["added"]])


def test_a_mended_expansion_is_taken(serve):
    wrong = dialogue(QUESTION, ASKS, "有一个多月了", ASKS_MORE, "不挑食", SAYS)
    made, _ = expand(serve, wrong, FAITHFUL)
    assert made.said["rows"] == 1
    assert figures(rows("curate_dialogues")[0])["turns_retried"] == 1


def test_the_doctor_may_ask_for_what_he_does_not_state(serve):
    asked = dialogue(QUESTION, "有没有肚子痛、便秘？", "没有", "家里人有鼻炎或者癫痫吗？", "都没有", SAYS + FORBIDS)
    assert expand(serve, asked)[0].said["rows"] == 1


def test_a_patient_may_deny_what_he_is_asked(serve):
    asked = dialogue(QUESTION, "有没有肚子痛、便秘？", "没有肚子痛，也没有便秘", ASKS_MORE, "不挑食", SAYS + FORBIDS)
    assert expand(serve, asked)[0].said["rows"] == 1


def test_a_turn_with_something_private_in_it_is_rejected(serve):
    said = [turn["text"] for turn in FAITHFUL["turns"]]
    said[2] = "有一个多月了，我微信wang_xt88"
    made, _ = expand(serve, dialogue(*said))
    assert made.said["rejected"] == {"private in the answer": 1}


def test_a_patient_may_not_affirm_what_nobody_said_before(serve):
    asked = dialogue(QUESTION, "有没有便血？", "有的，经常这样", ASKS_MORE, "不挑食", SAYS + FORBIDS)
    assert expand(serve, asked, asked)[0].said["rows"] == 0


def test_rejects_keep_the_consultation_they_were_made_of(serve):
    wrong = dialogue(QUESTION, ASKS)
    left = iter([FAITHFUL, wrong])
    teacher = Teacher(serve, lambda _: next(left))
    other = ("患：脚后跟裂口子，一到冬天就疼怎么办？", "医：睡前温水泡脚，涂尿素软膏，穿棉袜子，不要用刀刮。")
    flags = (*teacher.flags, "--expand", "--at-once", 1)
    build("curate_dialogues", cmdd("visits", [SHORT, other]), *flags)
    (found,) = rejected()
    assert found["key"] == "cmdd/10270002"
    assert [said["text"] for said in found["row"]["taken"][2]["utterances"]] == [bubble[2:] for bubble in other]
    assert Path("set/reports/rejected.jsonl").read_text().count("脚后跟") == 0
