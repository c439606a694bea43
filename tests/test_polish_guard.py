"""A polished answer says what the doctor said: what was lost or added is told once, then the answer is rejected."""

from pathlib import Path

import pytest
from clinic import PRESSURE, STOMACH, Teacher, build, figures, rejected, rows, toyhom

DOSE = "每次5mg"


def drafts(serve, *texts, pair=PRESSURE):
    """A run over one answer with these drafts for it."""
    left = iter(texts)
    teacher = Teacher(serve, lambda _: next(left))
    made = build("polish_qa", toyhom("answers.csv", [pair]), *teacher.flags, "--short")
    return made, teacher


def test_the_second_draft_is_told_what_the_first_one_lost(serve):
    answer = PRESSURE[1]
    made, teacher = drafts(serve, answer.replace(DOSE, ""), f"您好，{answer}")
    first, second = teacher.told("polish_answer")
    assert "draft" not in first
    assert (second["draft"], second["lost"], second["added"]) == (answer.replace(DOSE, ""), ["5mg"], [])
    assert (second["question"], second["answer"]) == (first["question"], first["answer"])
    assert (made.said["rows"], figures(rows("polish_qa")[0])["retries"]) == (1, 1)


def test_the_second_draft_is_told_what_the_first_one_added(serve):
    answer = PRESSURE[1]
    made, teacher = drafts(serve, f"{answer}可同时服用阿司匹林肠溶片。", f"您好，{answer}")
    told = teacher.told("polish_answer")[1]
    assert told["lost"] == []
    assert any("阿司匹林" in added for added in told["added"])
    assert made.said["rows"] == 1


@pytest.mark.parametrize(
    ("change", "kind", "seen"),
    [
        ((DOSE, ""), "lost: dose", "-dose 5mg"),
        ((DOSE, "每次10mg"), "lost: dose", "+dose "),
        (("每日1次", "每日3次"), "frequency", "+frequency "),
        (("两周后", "两个月后"), "duration", "+duration "),
        (("不要吃得太咸", "可以吃得咸一些"), "lost: negation", "-negation "),
        (("氨氯地平片", "硝苯地平片"), "lost: drug", "+drug 硝苯地平"),
        (("戒烟戒酒", "戒烟戒酒，可加服缬沙坦胶囊"), "invented: drug", "+drug 缬沙坦"),
    ],
)
def test_a_draft_that_is_wrong_twice_is_rejected_with_what_is_wrong(serve, change, kind, seen):
    wrong = PRESSURE[1].replace(*change)
    left = iter([wrong, wrong, f"您好，{STOMACH[1]}"])
    teacher = Teacher(serve, lambda _: next(left))
    build("polish_qa", toyhom("answers.csv", [PRESSURE, STOMACH]), *teacher.flags, "--at-once", 1)
    (found,) = rejected()
    assert found["reason"].startswith("entity guard, ")
    assert found["reason"].endswith(kind)
    told, _, draft = found["detail"].partition(" in ")
    assert seen in told
    assert draft == wrong


def test_a_faithful_answer_is_not_asked_for_again(serve):
    made, teacher = drafts(serve, f"您好，{PRESSURE[1]}")
    assert (made.said["rows"], len(teacher.heard)) == (1, 1)
    measured = figures(rows("polish_qa")[0])
    assert (measured["retries"], measured["length_ratio"]) == (0, round((len(PRESSURE[1]) + 3) / len(PRESSURE[1]), 3))
    assert measured["entities_kept"] >= 5  # 2级, 高血压, 氨氯地平, 5mg, 每日1次, 两周


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        ("{answer}" + "希望您的父亲早日康复，心情愉快。" * 30, "polished: too long"),
        ("作为一个人工智能语言模型，我的理解是：{answer}", "polished: refusal or AI phrase"),
        ("{answer}详见 https://example.com/a", "polished: link or image"),
    ],
)
def test_a_faithful_draft_that_is_no_good_text_is_rejected(serve, draft, reason):
    made, _ = drafts(serve, *[draft.format(answer=PRESSURE[1])] * 2)
    assert made.said["rejected"] == {reason: 1}


@pytest.mark.parametrize(
    "talk",
    ["<think>剂量不能动。</think>\n", "以下是改写后的回答：\n\n", "好的，根据您提供的JSON资料，改写如下：", "```\n"],
)
def test_what_the_model_says_besides_the_answer_is_in_no_row(serve, talk):
    made, _ = drafts(serve, *[f"{talk}您好，{PRESSURE[1]}"] * 2)
    assert [
        row["answer"] for row in (rows("polish_qa") if made.said["rows"] else []) if talk[:4] in row["answer"]
    ] == []


def test_a_placeholder_that_stands_for_nothing_is_in_no_row(serve):
    made, _ = drafts(serve, *[f"您好，{PRESSURE[1]}也可以到[医院3]复查。"] * 2)
    assert made.said["rows"] == 0


def test_a_drug_of_ones_own_list_is_guarded(serve):
    pair = ("老寒腿遇冷就疼，有什么药可以用？", "可以用瑞痹宁热敷膝盖，坚持一段时间，注意保暖，少爬楼梯。")
    Path("drugs.txt").write_text("瑞痹宁\n", encoding="utf-8")
    source = toyhom("answers.csv", [pair])
    flags = Teacher(serve, lambda asked: asked.data["answer"].replace("瑞痹宁", "毛巾")).flags
    assert build("polish_qa", source, *flags).said["rows"] == 1
    guarded = build("polish_qa", source, *flags, "--words", "drugs.txt", "--out", "guarded")
    assert guarded.said["rejected"] == {"entity guard, lost: drug": 1}
