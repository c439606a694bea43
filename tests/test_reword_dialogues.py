"""The doctor's side in better words: only what is wrong is asked for again, and what stays wrong is rejected."""

import pytest
from clinic import FEVER, LOOSE, curate, figures, politely, rejected, rows


def rewording(**changed):
    """Faithful, but for the doctor's turns given by number: their words in every draft, one after another."""
    left = {int(name.removeprefix("turn")): iter(texts) for name, texts in changed.items()}

    def say(asked):
        made = politely(asked)
        for turn in made["turns"]:
            if turn["n"] in left:
                turn["text"] = next(left[turn["n"]])
        return made

    return say


@pytest.mark.parametrize(
    ("wrong", "lost"),
    [
        ("口服布洛芬混悬液，一日三次\n体温38.5℃以下不要吃退烧药", "2.5ml"),
        ("口服布洛芬混悬液，每次2.5ml，一日三次\n体温38.5℃以下也要吃退烧药", "不"),
    ],
)
def test_only_the_turn_that_is_wrong_is_asked_for_again(serve, wrong, lost):
    right = "口服布洛芬混悬液，每次2.5ml，一日三次。体温38.5℃以下不要吃退烧药。"
    made, teacher = curate(serve, [FEVER], rewording(turn3=[wrong, right]))
    assert made.said["rows"] == 1, made.talk
    first, second = teacher.told("rewrite_doctor")
    assert "again" not in first
    assert second["dialogue"] == first["dialogue"]
    (again,) = second["again"]
    assert (again["n"], again["draft"]) == (3, wrong)
    assert any(lost in text for text in again["lost"])
    (row,) = rows("curate_dialogues")
    assert row["turns"][3]["text"] == right
    assert row["turns"][1]["text"].startswith("您好，您好")  # the first draft of the turn that was right
    assert figures(row)["turns_retried"] == 1


@pytest.mark.parametrize(
    ("number", "wrong", "reason"),
    [
        (1, "您好，请留意流鼻涕和精神的情况。", "entity guard, lost: question"),
        (3, "口服布洛芬混悬液，每次5ml，一日三次。体温38.5℃以下不要吃退烧药。", "entity guard, lost: dose"),
        (3, "口服布洛芬混悬液，每次2.5ml，一日三次。体温38.5℃以下要吃退烧药。", "entity guard, lost: negation"),
        (3, "口服布洛芬混悬液，每次2.5ml，一日三次。体温38.5℃以下不要吃退烧药。孩子大便正常吗？", "entity guard, invented: question"),
        (3, "口服布洛芬混悬液，每次2.5ml，一日三次。体温38.5℃以下不要吃退烧药，可加服阿奇霉素。", "entity guard, invented: drug"),
        (3, "  ", "entity guard, lost: turn"),
    ],
)  # fmt: skip
def test_a_turn_that_is_wrong_twice_rejects_its_consultation(serve, number, wrong, reason):
    made, teacher = curate(serve, [FEVER], rewording(**{f"turn{number}": [wrong, wrong]}))
    assert (made.code, made.said["rejected"]) == (3, {reason: 1})
    assert len(teacher.heard) == 2


def test_one_of_two_questions_may_not_be_dropped(serve):
    made, _ = curate(serve, [FEVER], rewording(turn1=["您好，请问有没有流鼻涕？"] * 2))
    assert made.said["rejected"] == {"entity guard, lost: question": 1}


@pytest.mark.parametrize("number", [0, 2, 4, -1])
def test_a_turn_that_nobody_asked_for_rejects_the_consultation(serve, number):
    def say(asked):
        made = politely(asked)
        return {"turns": [*made["turns"], {"n": number, "text": "孩子没有过敏史。"}]}

    made, _ = curate(serve, [FEVER, LOOSE], say if number < 4 else rewording_with(number))
    assert made.said["rejected"]["rewrote what was not asked for"] >= 1
    assert {one["detail"] for one in rejected()} <= {f"turn {number}"}


def rewording_with(number):
    """A turn too many, where the first consultation has none of that number."""

    def say(asked):
        made = politely(asked)
        few = len(asked.data["dialogue"]) <= number
        return {"turns": [*made["turns"], {"n": number, "text": "再见。"}] if few else made["turns"]}

    return say
