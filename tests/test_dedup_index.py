"""The near-duplicate index finds what comparing every pair finds, and its verdict is the exact Jaccard similarity."""

import itertools
import random
import re

import pytest

from builders.engine.dedup.index import NEWEST, NearIndex, clusters
from builders.engine.filters import Nearest, fold

FEVER = "孩子发烧三天怎么办"  # 9 characters, 7 shingles
FEVER_NOW = "孩子发烧三天怎么治"  # the last shingle differs: 6 shared of 8


def shingles(text, ngram=3):
    """The slow, obvious way."""
    letters = re.sub(r"[\W_]+", "", fold(text)) or text
    return frozenset(letters[at : at + ngram] for at in range(max(1, len(letters) - ngram + 1)))


def jaccard(one, other):
    return len(one & other) / len(one | other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ｃ反应蛋白偏高", "c反应蛋白偏高"),
        ("高血压，吃药？", "高血压吃药"),
        ("HbA1c 偏高\n怎么办", "hba1c偏高怎么办"),
        ("__血糖__高了", "血糖高了"),
        ("高血壓吃藥", "高血压吃药"),
    ],
)
def test_width_case_space_punctuation_and_script_do_not_count(one, other):
    index = NearIndex(1.0)
    index.add("one", one)
    assert index.nearest(other) == Nearest("one", 1.0)


@pytest.mark.parametrize("text", ["发烧", "晕", "", "？！"])
def test_a_text_shorter_than_a_shingle_is_a_set_of_one_and_finds_its_twin(text):
    index = NearIndex(0.8)
    index.add("a", text)
    assert index.nearest(text) == Nearest("a", 1.0)
    assert index.nearest("孩子发烧三天怎么办") == Nearest("", 0.0)


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        (FEVER, FEVER, 1.0),
        (FEVER, FEVER_NOW, 6 / 8),
        ("高血压吃药", "高血压吃啥", 2 / 4),  # 高血压 血压吃 of 压吃药 压吃啥 too
        ("高血压吃药", "糖尿病", 0.0),
        ("发烧", "发热", 0.0),
    ],
)
def test_jaccard_is_the_shared_part_of_all_shingles(one, other, similarity):
    index = NearIndex(0.01)
    index.add("one", one)
    assert index.nearest(other).score == similarity


def test_nearest_names_the_twin_with_its_exact_jaccard():
    index = NearIndex(0.7)
    index.add("far", "糖尿病能吃西瓜吗")
    index.add("near", FEVER_NOW)
    assert index.nearest(FEVER) == Nearest("near", 0.75)
    index.add("nearer", FEVER + "？")
    assert index.nearest(FEVER) == Nearest("nearer", 1.0)
    assert index.twins(FEVER) == [Nearest("near", 0.75), Nearest("nearer", 1.0)]


def test_the_threshold_itself_is_near_and_below_it_nothing_is():
    for threshold, found in ((0.75, Nearest("a", 0.75)), (0.76, Nearest("", 0.0))):
        index = NearIndex(threshold)
        index.add("a", FEVER_NOW)
        assert index.nearest(FEVER) == found


def test_of_equally_near_texts_the_first_key_is_named():
    index = NearIndex(0.8)
    for number in range(50, 10, -1):
        index.add(f"row{number}", FEVER)
    assert index.nearest(FEVER).key == "row11"


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.1])
def test_a_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises(ValueError, match=rf"threshold must be in \(0, 1\], got {threshold}"):
        NearIndex(threshold)


WHO = ["老人", "三岁的孩子", "孕妇", "糖尿病患者", "做完支架手术的人"]
WHAT = ["反复头晕", "咳嗽两周不见好", "血压一直降不下来", "夜里腿抽筋", "胃镜查出萎缩性胃炎"]
ASKS = ["应该先做哪些检查", "平时饮食上要注意什么", "需要马上去医院吗", "可以吃中药调理吗"]


def edited_sentences(count, seed):
    """Questions of patients, two of three an earlier one with a character changed: about 27 of 33 shingles stay."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        asks = rng.sample(ASKS, 2)
        text = f"{rng.choice(WHO)}{rng.choice(WHAT)}，{asks[0]}？{asks[1]}，谢谢医生{rng.randrange(100, 1000)}"
        if number % 3:
            letters = list(rng.choice(made))
            letters[rng.randrange(len(letters))] = rng.choice("的了呢吧啊")
            text = "".join(letters)
        made.append(text)
    return made


def alike_by_hand(texts, threshold):
    """Every pair at or above the threshold, by comparing all of them."""
    grams = [shingles(text) for text in texts]
    pairs = itertools.combinations(range(len(texts)), 2)
    return {(one, other) for one, other in pairs if jaccard(grams[one], grams[other]) >= threshold}


def test_the_index_finds_every_pair_that_comparing_all_pairs_finds():
    texts = edited_sentences(300, seed=11)
    index, found = NearIndex(0.8), set()
    for number, text in enumerate(texts):
        found |= {(int(twin.key), number) for twin in index.twins(text)}
        index.add(str(number), text)
    alike = alike_by_hand(texts, 0.8)
    assert len(alike) > 50
    assert found == alike


def test_what_is_sorted_in_long_ago_is_still_found():
    texts = edited_sentences(3 * NEWEST + 100, seed=13)
    index = NearIndex(0.8)
    for number, text in enumerate(texts):
        index.add(str(number), text)
    for number in range(0, len(texts), 97):
        assert str(number) in {twin.key for twin in index.twins(texts[number]) if twin.score == 1.0}


def test_clusters_are_the_connected_components_named_by_their_first_key():
    texts = edited_sentences(200, seed=12)
    component, alike = list(range(len(texts))), alike_by_hand(texts, 0.8)
    while any(component[one] != component[other] for one, other in alike):  # the slow way
        for one, other in alike:
            component[one] = component[other] = min(component[one], component[other])
    slow = {str(number): str(first) for number, first in enumerate(component)}
    assert clusters(((str(number), text) for number, text in enumerate(texts)), 0.8) == slow
    assert 1 < len(set(slow.values())) < len(texts)


def test_two_texts_that_are_not_alike_meet_through_a_third():
    # 甲-乙 and 乙-丙 share 6 of 8 shingles each, 甲-丙 5 of 9
    chain = [("甲", "孩子发烧三天怎么办"), ("丙", "小子发烧三天怎么治"), ("乙", "孩子发烧三天怎么治")]
    assert jaccard(shingles(chain[0][1]), shingles(chain[1][1])) == 5 / 9
    assert clusters(chain[:2], 0.7) == {"甲": "甲", "丙": "丙"}
    assert clusters(chain, 0.7) == {"甲": "甲", "丙": "甲", "乙": "甲"}


def test_two_texts_with_the_same_key_are_an_error():
    with pytest.raises(ValueError, match="two texts have the key 'a'"):
        clusters([("a", FEVER), ("b", FEVER), ("a", "糖尿病能吃西瓜吗")], 0.8)


def test_no_texts_make_no_clusters():
    assert clusters([], 0.8) == {}
