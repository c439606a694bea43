"""Near-duplicates stay together, old rows stay where they were, a hash decides the rest."""

import random
from collections import Counter

import pytest

from builders.engine.splits import assign_splits, hashed

WORDS = "头晕 咳嗽 发烧 腹泻 心悸 失眠 皮疹 便秘 胸闷 耳鸣 水肿 贫血 脱发 口臭 抽筋 盗汗 乏力 呕吐 黄疸 血尿"


def questions(count, seed=3):
    """Questions with hardly a trigram in common, each under a key of its own."""
    rng = random.Random(seed)
    return [(f"row{number}", "".join(rng.choices(WORDS.split(), k=8)) + str(number)) for number in range(count)]


def splits_of(places):
    return {key: split for key, (split, _) in places.items()}


def test_nine_of_ten_rows_train():
    counts = Counter(hashed(f"cardiology/nurse/{number:04d}/00") for number in range(5_000))
    # a share p of 5,000 has the deviation √(5,000·p·(1 - p)): 21 at 0.9, 15 at 0.05; four of them either side
    assert counts["train"] == pytest.approx(4_500, abs=85)
    assert counts["validation"] == pytest.approx(250, abs=62)
    assert counts["test"] == pytest.approx(250, abs=62)
    assert counts.total() == 5_000


def test_rows_that_are_not_alike_fall_where_their_own_hash_says():
    rows = questions(400)
    assert splits_of(assign_splits(rows, {})) == {key: hashed(key) for key, _ in rows}
    assert set(splits_of(assign_splits(rows, {})).values()) == {"train", "validation", "test"}


def test_where_a_row_goes_does_not_depend_on_what_else_is_there():
    rows = questions(300)
    some = splits_of(assign_splits(rows[:150], {}))
    assert splits_of(assign_splits(rows, {})).items() >= some.items()


def test_a_cluster_is_never_cut():
    rows = [row for key, text in questions(150) for row in ((key, text), (f"{key}又", f"{text}？"), (f"{key}再", text))]
    places = assign_splits(rows, {})
    for key, _ in questions(150):
        assert places[key] == places[f"{key}又"] == places[f"{key}再"] == (hashed(key), key)


def key_in(split, start="row"):
    """The first key whose own hash falls into a split."""
    return next(key for key in (f"{start}{number}" for number in range(10_000)) if hashed(key) == split)


def test_an_old_row_keeps_its_split_whatever_its_hash_says():
    rows = questions(100)
    old = {key: ("test", "train", "validation")[number % 3] for number, (key, _) in enumerate(rows[:30])}
    assert splits_of(assign_splits(rows, old)).items() >= old.items()


def test_a_new_row_joins_the_split_of_its_old_twin():
    old_key, new_key, other = key_in("train", "old"), key_in("train", "new"), key_in("train", "other")
    rows = [(new_key, "孩子发烧三天怎么办"), (old_key, "孩子发烧三天怎么办？"), (other, "糖尿病能吃西瓜吗")]
    assert splits_of(assign_splits(rows, {old_key: "test"})) == {new_key: "test", old_key: "test", other: "train"}


def test_of_old_twins_in_different_splits_the_first_draws_the_new_row():
    rows = [("旧一", "孩子发烧三天怎么办"), ("旧二", "孩子发烧三天怎么办！"), ("新", "孩子发烧三天怎么办？")]
    old = {"旧一": "validation", "旧二": "train"}
    assert splits_of(assign_splits(rows, old)) == {"旧一": "validation", "旧二": "train", "新": "validation"}


def test_when_no_row_is_left_for_training_all_of_them_train():
    rows = [(key_in("test", "a"), "孩子发烧三天怎么办"), (key_in("validation", "b"), "糖尿病能吃西瓜吗")]
    assert set(splits_of(assign_splits(rows, {})).values()) == {"train"}


def test_a_cluster_is_not_cut_to_have_something_to_train_on():
    old, twin, other = "旧", key_in("test", "twin"), key_in("test", "other")
    rows = [(old, "孩子发烧三天怎么办"), (twin, "孩子发烧三天怎么办？"), (other, "糖尿病能吃西瓜吗")]
    assert splits_of(assign_splits(rows, {old: "validation"})) == {
        old: "validation",
        twin: "validation",
        other: "train",
    }


def test_no_rows_have_no_splits():
    assert assign_splits([], {}) == {}
