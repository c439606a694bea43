"""`python -m builders.dedup` finds what comparing every pair finds, keeps the one it is asked to, and says what it removed."""

import csv
import importlib.util
import io
import json
import random
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dedup_texts import (
    components,
    dedup,
    distinct,
    folded,
    given,
    here,
    jaccard,
    kept,
    leader,
    near_pairs,
    refused,
    removed,
    report,
    sentence,
    sentences,
    shingles,
    table,
    texts_file,
)
from folders import files_of
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as some
from tables import written

from builders.engine.dedup import decide, numpy_compare
from builders.engine.dedup import texts as texts_of_a_source
from builders.engine.dedup.find import find
from builders.engine.dedup.folding import Folding
from builders.engine.dedup.kernel import kernel_for
from builders.engine.dedup.scheme import Scheme, found
from builders.engine.dedup.texts import Listed

KERNELS = ["numpy"] + ["compiled"] * (importlib.util.find_spec("numba") is not None)
NGRAM = 3
FOLDING = Folding()
FEVER = "孩子发烧三天不退还咳嗽流鼻涕应该去医院看什么科呢"  # 24 characters, 20 shingles of 5
FEVER_NOW = "孩子发烧三天不退还咳嗽流鼻涕应该去医院看什么科呀"  # shares 19 of 21
PRESSURE = "父亲今年七十岁高血压十多年最近总是头晕要不要换一种降压药吃"
STOMACH = "饭后胃里反酸烧心已经半年胃镜说是浅表性胃炎需要长期服药吗"
SLEEP = "最近工作压力大夜里翻来覆去睡不着白天没有精神请问吃什么可以调理"


# --- what is found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("threshold", ["0.5", "0.75", "0.8"])
def test_leader_and_cluster_remove_what_comparing_every_pair_in_order_removes(threshold, kernel):
    texts = sentences(seed=1, count=320)
    near = near_pairs(texts, threshold, NGRAM)
    expected = leader(len(texts), near)
    assert len(expected) > 100
    for threads in (1, 3):
        scheme, how = Scheme(float(threshold), NGRAM), {"kernel": kernel_for(kernel, 0), "threads": threads}
        one_each = find(Listed(texts), scheme, **how)
        assert dict(zip(one_each.row.tolist(), one_each.twin.tolist(), strict=True)) == expected
        for row, twin, similarity in zip(one_each.row, one_each.twin, one_each.jaccard, strict=True):
            assert similarity == float(jaccard(texts[row], texts[twin], NGRAM))
        joined = find(Listed(texts), scheme, mode="cluster", **how)
        assert dict(zip(joined.row.tolist(), joined.twin.tolist(), strict=True)) == components(len(texts), near)
        for row, twin, similarity in zip(joined.row, joined.twin, joined.jaccard, strict=True):
            assert similarity == float(jaccard(texts[row], texts[twin], NGRAM))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", [1, 7, 64])
def test_where_a_block_of_texts_ends_changes_nothing(block, kernel, monkeypatch):
    texts = sentences(seed=14, count=320)
    near = near_pairs(texts, "0.5", NGRAM)
    monkeypatch.setattr(texts_of_a_source, "BATCH", block + 2)
    monkeypatch.setattr(decide, "BLOCK", block)
    monkeypatch.setattr(numpy_compare, "PAIRS_AT_ONCE", 64 * block)
    monkeypatch.setattr(numpy_compare, "GRAMS_AT_ONCE", 50 * block)
    how = {"kernel": kernel_for(kernel, 0), "threads": 2}
    gone = find(Listed(texts), Scheme(0.5, NGRAM), **how)
    assert dict(zip(gone.row.tolist(), gone.twin.tolist(), strict=True)) == leader(len(texts), near)
    gone = find(Listed(texts), Scheme(0.5, NGRAM), mode="cluster", **how)
    assert dict(zip(gone.row.tolist(), gone.twin.tolist(), strict=True)) == components(len(texts), near)


@pytest.mark.parametrize("kernel", KERNELS)
def test_thousands_of_texts_of_one_template_are_decided_in_order(kernel):
    draw = random.Random(15)
    head, tail = distinct(30), distinct(30, first=100)
    texts = [head + "".join(draw.choices("男女老少", k=draw.randint(5, 8))) + tail for _ in range(2600)]
    stay: list[int] = []
    twins = {}
    sets = [shingles(text) for text in texts]
    for row, mine in enumerate(sets):  # all share 52 of at most 64 shingles, so all meet
        near = (other for other in stay if 5 * len(mine & sets[other]) >= 4 * len(mine | sets[other]))
        twin = next(near, None)
        if twin is None:
            stay.append(row)
        else:
            twins[row] = twin
    gone = find(Listed(texts), Scheme(0.8, recall=0.99999), kernel=kernel_for(kernel, 0), threads=2)
    assert gone.longest_run > 2000
    assert dict(zip(gone.row.tolist(), gone.twin.tolist(), strict=True)) == twins


@pytest.mark.parametrize("mode", ["leader", "cluster"])
def test_kernels_and_threads_write_the_same_bytes(mode):
    texts_file("a.jsonl", sentences(seed=2, count=400))
    flags = ("a.jsonl", "--threshold", 0.75, "--ngram", NGRAM, "--mode", mode, "--id", "id")
    seen = set()
    for kernel in KERNELS:
        for threads in (1, 3):
            done = dedup(*flags, "--kernel", kernel, "--threads", threads)
            assert (done.code, done.said["kernel"]) == (0, kernel)
            seen.add(tuple(Path("build/dedup", f"{which}.parquet").read_bytes() for which in ("kept", "removed")))
    assert len(seen) == 1
    assert len(removed()) > 150


@pytest.mark.parametrize("kernel", KERNELS)
def test_pairs_are_every_near_pair_and_nothing_else(kernel):
    texts = list({folded(text): text for text in sentences(seed=3, count=400)}.values())
    texts_file("a.jsonl", texts)
    flags = (
        "--threshold",
        0.5,
        "--ngram",
        NGRAM,
        "--kernel",
        kernel,
        "--id",
        "id",
        "--pairs",
        "deep/down/pairs.parquet",
    )
    for mode in ("leader", "cluster"):
        here("a.jsonl", *flags, "--mode", mode)
        rows = table("deep/down/pairs.parquet")
        near = {(int(row["one"]), int(row["other"])): row["jaccard"] for row in rows}
        assert len(near) == len(rows) > 200
        assert near == {pair: float(alike) for pair, alike in near_pairs(texts, "0.5", NGRAM).items()}


def test_a_copy_is_paired_with_the_first_of_its_kind_alone():
    texts_file("a.jsonl", [FEVER, FEVER_NOW, FEVER + "！", FEVER_NOW + "。"])
    here("a.jsonl", "--id", "id", "--pairs", "pairs.parquet")
    pairs = {(row["one"], row["other"]): row["jaccard"] for row in table("pairs.parquet")}
    assert pairs == {("1", "0"): 19 / 21, ("2", "0"): 1.0, ("3", "1"): 1.0}


def test_two_characters_of_thirty_are_found_by_pairs_of_characters_and_not_by_default():
    one = distinct(30)
    other = one[:9] + "头" + one[10:19] + "痛" + one[20:]
    assert [jaccard(one, other, ngram) for ngram in (2, 3, 5)] == [Fraction(25, 33), Fraction(22, 34), Fraction(16, 36)]
    texts_file("a.jsonl", [one, other])
    assert here("a.jsonl").said["kept"] == 2
    assert here("a.jsonl", "--ngram", 2, "--threshold", 0.75).said["near"] == 1
    assert removed()[0]["jaccard"] == 25 / 33
    assert here("a.jsonl", "--ngram", 2, "--threshold", 0.76).said["near"] == 0


def test_a_pair_right_at_the_threshold_is_near():
    one, other = distinct(18), distinct(16) + distinct(2, first=1000)
    assert jaccard(one, other, 1) == Fraction(16, 20)  # 0.8, which no float is
    texts_file("a.jsonl", [one, other])
    assert here("a.jsonl", "--ngram", 1).said["near"] == 1
    assert here("a.jsonl", "--ngram", 1, "--threshold", 0.8001).said["near"] == 0


@pytest.mark.parametrize(
    ("recall", "bands", "rows", "chance"), [(0.99, 21, 6, 0.9983), (0.9999, 25, 5, 1.0), (0.9, 16, 8, 0.947)]
)
def test_the_recall_asked_for_decides_how_many_bands_there_are(recall, bands, rows, chance):
    assert 1 - (1 - 0.8 ** (rows + 1)) ** (128 // (rows + 1)) < recall <= 1 - (1 - 0.8**rows) ** bands
    texts_file("a.jsonl", [FEVER, FEVER_NOW])
    here("a.jsonl", "--recall", recall)
    assert report()["bands"] == {"bands": bands, "rows": rows}
    assert report()["probability_to_be_compared"]["0.80"] == pytest.approx(chance, abs=1e-4)


@pytest.mark.parametrize(
    ("fold", "kept_rows"),
    [
        ("nfkc,case,width,punctuation,simplified", [0]),
        ("nfkc,case,width,punctuation", [0, 3]),
        ("nfkc,case,width,simplified", [0, 2]),
        ("nfkc,width,punctuation,simplified", [0, 1]),
        ("case,width,punctuation,simplified", [0]),
        ("case,punctuation,simplified", [0, 4]),
        ("", [0, 1, 2, 3, 4]),
    ],
)
def test_what_is_folded_does_not_count(fold, kept_rows):
    texts = ["hba1c偏高怎么办", "HbA1c偏高怎么办", "hba1c偏高，怎么办", "hba1c偏高怎麼辦", "ｈｂａ１ｃ偏高怎么办"]
    texts_file("a.jsonl", texts)
    here("a.jsonl", "--fold", fold, "--threshold", 1)
    assert kept() == kept_rows


# --- which of them is kept


CHAIN = [distinct(22, first=start) for start in (0, 2, 4)]  # of pairs of characters 19 of 23 are shared, then 17 of 25


def test_of_a_chain_leader_keeps_both_ends_and_cluster_keeps_one():
    assert [jaccard(CHAIN[0], other, 2) for other in CHAIN] == [1, Fraction(19, 23), Fraction(17, 25)]
    texts_file("a.jsonl", CHAIN)
    here("a.jsonl", "--ngram", 2, "--id", "id")
    assert kept() == [0, 2]
    assert [(row["twin"], row["jaccard"], row["cluster"]) for row in removed()] == [("0", 19 / 23, 1)]
    said = here("a.jsonl", "--ngram", 2, "--id", "id", "--mode", "cluster").said
    assert kept() == [0]
    assert [(row["twin"], row["jaccard"], row["cluster"]) for row in removed()] == [
        ("0", 19 / 23, 1),
        ("0", 17 / 25, 1),  # below the threshold: it is near to what is near
    ]
    assert said["clusters"] == 1


def test_leader_in_another_order_keeps_the_middle_of_a_chain_alone():
    texts_file("a.jsonl", [CHAIN[1], CHAIN[0], CHAIN[2]])
    here("a.jsonl", "--ngram", 2)
    assert kept() == [0]
    assert [row["twin"] for row in removed()] == ["a.jsonl: row 1"] * 2


@pytest.mark.parametrize("mode", ["leader", "cluster"])
@pytest.mark.parametrize("keep", ["longest", "first", "best:score"])
def test_what_is_kept_does_not_depend_on_the_order_of_the_rows(keep, mode):
    draw = random.Random(5)
    rows = [
        {"id": f"病例{n}", "score": draw.randint(1, 5), "text": t} for n, t in enumerate(sentences(seed=4, count=300))
    ]
    seen = set()
    for _ in range(3):
        draw.shuffle(rows)
        here(given("a.jsonl", rows), "--keep", keep, "--id", "id", "--ngram", NGRAM, "--threshold", 0.5, "--mode", mode)
        twins = frozenset((row["id"], row["twin"], row["jaccard"], row["reason"]) for row in removed())
        seen.add((frozenset(kept()), twins))
    assert len(seen) == 1


RIVALS = [
    {"id": "丙", "score": 3, "text": FEVER},
    {"id": "乙", "score": 9, "text": FEVER + "呢"},
    {"id": "甲", "score": 9, "text": FEVER + "吗"},
    {"id": "丁", "score": None, "text": FEVER + "，，，，，，"},
]


@pytest.mark.parametrize(
    ("flags", "stays"),
    [
        ([], "丙"),
        (["--id", "id"], "丁"),  # by code point 丁 丙 乙 甲
        (["--keep", "longest"], None),  # two have 25 letters: which, the texts decide
        (["--keep", "longest", "--id", "id"], "乙"),
        (["--keep", "best:score", "--id", "id"], "乙"),
    ],
)
def test_the_first_the_longest_or_the_best_is_kept_and_ties_go_by_id(flags, stays):
    said = here(given("a.jsonl", RIVALS), *flags).said
    assert (said["kept"], said["exact"] + said["near"]) == (1, 3)
    assert kept() == [stays] if stays else kept()[0] in ("乙", "甲")


def test_the_largest_number_is_the_best_and_none_is_worse_than_any():
    for scores, stays in (([-2.5, -1, None], 1), ([None, -7, None], 1), ([1, 10, 9], 1), (["2", "10", "9"], 1)):
        here(given("a.jsonl", ({"id": n, "s": s, "text": FEVER} for n, s in enumerate(scores))), "--keep", "best:s")
        assert kept() == [stays]


def test_a_score_that_is_missing_in_a_csv_is_worse_than_any():
    written("a.csv", f"id,score,text\n0,,{FEVER}\n1,-3.5,{FEVER}\n")
    here("a.csv", "--keep", "best:score")
    assert kept() == ["1"]


def test_precedence_keeps_what_an_earlier_file_holds():
    given("old.jsonl", [{"id": "old", "text": FEVER}])
    given("new.jsonl", [{"id": "new", "text": FEVER + "呢"}, {"id": "other", "text": PRESSURE}])
    here("old.jsonl", "new.jsonl", "--keep", "longest", "--id", "id")
    assert kept() == ["new", "other"]
    here("old.jsonl", "new.jsonl", "--keep", "longest", "--id", "id", "--precedence")
    assert kept() == ["old", "other"]
    here("new.jsonl", "old.jsonl", "--keep", "first", "--id", "id", "--precedence")
    assert kept() == ["new", "other"]


def test_files_of_different_columns_are_written_as_one_table_with_every_column():
    given(
        "a.jsonl", [{"id": 1, "text": FEVER, "department": "儿科"}, {"id": 2, "text": PRESSURE, "department": "内科"}]
    )
    written("b.csv", f"text,source\n{FEVER_NOW},网站\n{STOMACH},医院\n")
    pq.write_table(pa.table({"id": [7], "text": [SLEEP], "n": [0.5]}), "c.parquet")
    done = here("a.jsonl", "b.csv", "c.parquet")
    assert (done.said["texts"], done.said["kept"]) == (5, 4)
    everywhere = {"id": None, "text": None, "department": None, "source": None, "n": None}
    assert table("build/dedup/kept.parquet") == [
        everywhere | {"id": 1, "text": FEVER, "department": "儿科"},
        everywhere | {"id": 2, "text": PRESSURE, "department": "内科"},
        everywhere | {"text": STOMACH, "source": "医院"},
        everywhere | {"id": 7, "text": SLEEP, "n": 0.5},
    ]
    assert removed() == [
        everywhere
        | {"text": FEVER_NOW, "source": "网站"}
        | {"twin": "a.jsonl: row 1", "jaccard": 19 / 21, "cluster": 1, "reason": "near"}
    ]
    assert [one["rows"] for one in report()["inputs"]] == [2, 2, 1]


def test_scores_that_are_whole_in_one_file_and_broken_in_another_are_compared():
    given("a.jsonl", [{"id": 1, "score": 1, "text": FEVER}])
    given("b.jsonl", [{"id": 2, "score": 1.5, "text": FEVER}])
    assert here("a.jsonl", "b.jsonl", "--keep", "best:score").code == 0
    assert kept() == [2]


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(pa.array(["乙", "甲"]).dictionary_encode(), id="dictionary"),
        pytest.param(pa.array([b"\xff\xfe", b"a"]), id="bytes"),
        pytest.param(pa.array([[2], [1]]), id="lists"),
        pytest.param(pa.array([{"a": 1}, {"a": 2}]), id="objects"),
        pytest.param(pa.nulls(2), id="nulls"),
        pytest.param(pa.array(["甲", None]), id="a null"),
    ],
)
def test_any_column_names_the_rows_or_is_refused_in_one_line(ids):
    pq.write_table(pa.table({"id": ids, "text": [FEVER, FEVER]}), "a.parquet")
    done = dedup("a.parquet", "--id", "id")
    assert "Traceback" not in done.talk
    assert (done.code, done.said.get("exact")) in ((0, 1), (2, None))


@pytest.mark.parametrize(
    "flags", [[], ["--id", "id"], ["--keep", "best:score"], ["--keep", "longest"], ["--mode", "cluster"]]
)
def test_a_table_without_rows_has_no_copies(flags):
    nothing = {"id": pa.array([], pa.string()), "text": pa.array([], pa.string()), "score": pa.array([], pa.float64())}
    pq.write_table(pa.table(nothing), "a.parquet")
    assert here("a.parquet", *flags, "--pairs", "pairs.parquet").said["texts"] == 0
    assert (table("build/dedup/kept.parquet"), removed(), table("pairs.parquet")) == ([], [], [])


def test_files_whose_columns_do_not_fit_are_refused_before_the_search():
    given("a.jsonl", [{"n": 1, "text": FEVER}])
    given("b.jsonl", [{"n": "一", "text": FEVER}])
    for flags in ([], ["--dry-run"]):
        said = refused("a.jsonl", "b.jsonl", *flags)
        assert "columns do not fit together" in said
        assert "Field n has" in said


def test_whole_numbers_that_a_broken_one_cannot_hold_are_one_line_or_kept():
    pq.write_table(pa.table({"text": [FEVER], "n": pa.array([2**60 + 1])}), "a.parquet")
    pq.write_table(pa.table({"text": [PRESSURE], "n": [0.5]}), "b.parquet")
    done = dedup("a.parquet", "b.parquet")
    assert "Traceback" not in done.talk
    assert done.code in (0, 2)


# --- what is compared


def said_by(*turns: str) -> list[dict]:
    return [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]


DIALOGUES = [
    {"id": 0, "messages": said_by(FEVER, PRESSURE)},
    {"id": 1, "messages": said_by(FEVER, STOMACH)},  # asks what 0 asks
    {"id": 2, "messages": said_by(SLEEP, PRESSURE)},  # answers what 0 answers
    {"id": 3, "messages": said_by(FEVER, PRESSURE, SLEEP, STOMACH)},
    {"id": 4, "messages": said_by(FEVER, PRESSURE)},  # is 0
]


@pytest.mark.parametrize(
    ("granularity", "stay", "ngram"),
    [("first-turn", [0, 2], 3), ("answer", [0, 1, 3], 5), ("dialogue", [0, 1, 2, 3], 5)],
)
def test_dialogues_repeat_each_other_in_what_is_asked_answered_or_said(granularity, stay, ngram):
    given("a.jsonl", DIALOGUES)
    here("a.jsonl", "--text", "messages", "--granularity", granularity)
    assert kept() == stay
    assert report()["settings"]["ngram"] == ngram


def test_a_column_of_turns_is_no_text():
    given("a.jsonl", DIALOGUES)
    said = refused("a.jsonl", "--text", "messages")
    assert said.startswith("a.jsonl: --text messages: the column is a list of turns: choose --granularity first-turn")


def test_a_template_compares_columns_together_and_a_path_goes_inside():
    rows = [
        {"id": 0, "instruction": FEVER, "input": "", "meta": {"answer": [STOMACH]}},
        {"id": 1, "instruction": FEVER, "input": PRESSURE, "meta": {"answer": [STOMACH]}},
        {"id": 2, "instruction": FEVER + "。", "input": PRESSURE, "meta": {"answer": [SLEEP]}},
    ]
    given("a.jsonl", rows)
    for text, stay in ((r"{instruction}\n{input}", [0, 1]), ("instruction", [0]), ("meta.answer.0", [0, 2])):
        here("a.jsonl", "--text", text)
        assert kept() == stay, text
    here("a.jsonl", "--text", "{instruction}{meta.answer.0}", "--ngram", 7)
    assert (kept(), report()["settings"]["ngram"]) == ([0, 2], 7)


# --- texts as they come


def test_texts_shorter_than_a_shingle_are_the_same_or_different():
    texts = [
        "发烧",
        "发热",
        "发烧。",
        "",
        "烧",
        None,
        "😀",
        "😁",
        "😀",
        "？",
        "！",
        "\u0000",
        " \t",
        "𠀀",
        "é",
        "e\u0301",
    ]
    texts_file("a.jsonl", texts)
    said = here("a.jsonl", "--id", "id").said
    twins = {row["id"]: row["twin"] for row in removed()}
    assert twins == {2: "0", 5: "3", 8: "6", 15: "14"}
    assert {(row["jaccard"], row["reason"]) for row in removed()} == {(1.0, "exact")}
    assert (said["exact"], said["near"]) == (4, 0)


def test_half_an_emoji_a_nul_and_a_column_of_nulls_are_texts_too():
    written("a.jsonl", '{"text": "头疼\\ud83d"}\n{"text": "头疼"}\n{"text": "头\\u0000疼"}\n{"text": "\\ud83d"}\n')
    assert (here("a.jsonl").code, len(removed())) == (0, 2)
    written("b.jsonl", '{"text": null, "n": 1}\n{"text": null, "n": 2}\n')
    assert here("b.jsonl").said["exact"] == 1


def test_long_lines_that_differ_in_one_character_are_near():
    draw = random.Random(6)
    one = sentence(draw, 100_000, 100_000)
    texts = [one, one[:50_000] + "癌" + one[50_001:], sentence(draw, 100_000, 100_000), "。" * 100_000]
    texts_file("a.jsonl", texts)
    assert here("a.jsonl").said["kept"] == 3
    assert removed()[0]["jaccard"] == float(jaccard(*texts[:2])) > 0.999


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_a_csv_of_any_usual_encoding_is_read_even_with_broken_bytes(encoding):
    out = io.StringIO()
    csv.writer(out).writerows([["text"], *([text] for text in sentences(seed=7, count=60)), [FEVER], [FEVER_NOW]])
    broken = b"\xe5\xa4\r\n" if encoding == "utf-8" else b""
    written("a.csv", out.getvalue().encode(encoding) + broken)
    done = here("a.csv")
    assert done.said["texts"] == 62 + bool(broken)
    assert (removed()[-1]["text"], removed()[-1]["twin"]) == (FEVER_NOW, "a.csv: row 61")
    assert ("read as GB18030" if encoding == "gb18030" else "with U+FFFD in their place") in done.talk


# --- what is written


def test_every_row_is_kept_or_removed_with_all_its_columns_in_order():
    draw = random.Random(8)
    rows = [
        {"z": n, "text": text, "turns": said_by(text), "score": draw.random(), "a": None if n % 3 else f"第{n}"}
        for n, text in enumerate(sentences(seed=8, count=300))
    ]
    given("a.jsonl", rows)
    said = here("a.jsonl", "--ngram", NGRAM).said
    names = list(rows[0])
    assert pq.read_schema("build/dedup/kept.parquet").names == names
    assert pq.read_schema("build/dedup/removed.parquet").names == [*names, "twin", "jaccard", "cluster", "reason"]
    stay, gone = table("build/dedup/kept.parquet"), removed()
    assert len(stay) == said["kept"]
    assert [row["z"] for row in stay] == sorted(row["z"] for row in stay)
    assert [row["z"] for row in gone] == sorted(row["z"] for row in gone)
    assert sorted([*stay, *({name: row[name] for name in names} for row in gone)], key=lambda row: row["z"]) == rows


def test_every_removed_row_names_a_kept_twin_that_it_is_near_to():
    texts = sentences(seed=9, count=400)
    said = here(texts_file("a.jsonl", texts), "--ngram", NGRAM, "--id", "id").said
    stay, cluster_of = set(kept()), {}
    for row in removed():
        twin = int(row["twin"])
        assert twin in stay
        assert row["jaccard"] == float(jaccard(row["text"], texts[twin], NGRAM)) >= 0.8
        assert cluster_of.setdefault(twin, row["cluster"]) == row["cluster"]
    assert sorted(cluster_of.values()) == list(range(1, said["clusters"] + 1))
    assert [cluster_of[twin] for twin in sorted(cluster_of)] == sorted(cluster_of.values())


def test_exact_is_said_of_what_is_the_same_as_its_twin_and_near_of_all_else():
    texts_file("a.jsonl", [FEVER, FEVER + "！", FEVER_NOW, FEVER_NOW, "哈" * 20, "哈" * 30])
    said = here("a.jsonl", "--id", "id").said
    assert [(row["id"], row["twin"], row["jaccard"], row["reason"]) for row in removed()] == [
        (1, "0", 1.0, "exact"),
        (2, "0", 19 / 21, "near"),
        (3, "0", 19 / 21, "near"),  # a copy of 2, but what is kept is 0
        (5, "4", 1.0, "near"),  # the same shingles, but another text
    ]
    assert (said["exact"], said["near"]) == (1, 3)


def test_columns_that_the_input_has_already_are_prefixed():
    rows = [{"twin": "左", "reason": 1, "dedup_reason": 2, "text": FEVER}] * 2
    here(given("a.jsonl", rows))
    assert pq.read_schema("build/dedup/removed.parquet").names == [
        *rows[0],
        *("dedup_twin", "jaccard", "cluster", "dedup_dedup_reason"),
    ]
    assert (removed()[0]["twin"], removed()[0]["dedup_twin"]) == ("左", "a.jsonl: row 1")
    assert (removed()[0]["reason"], removed()[0]["dedup_dedup_reason"]) == (1, "exact")


def test_the_counts_add_up_on_the_last_line_and_in_the_report():
    texts_file("a.jsonl", sentences(seed=10, count=200))
    done = dedup("a.jsonl", "--ngram", NGRAM)
    said = done.said
    assert said["texts"] == 200 == said["exact"] + said["near"] + said["evaluation"] + said["kept"]
    counts = {"texts", "exact", "near", "evaluation", "clusters", "kept", "rejected"}
    assert set(said) == counts | {"seconds", "kernel", "path"}
    assert report()["counts"] == {name: said[name] for name in counts}
    assert report()["kernel"] == said["kernel"] == "numpy"
    assert said["path"] == "build/dedup"
    reasons = [row["reason"] for row in removed()]
    assert (reasons.count("exact"), reasons.count("near")) == (said["exact"], said["near"])
    assert max(row["cluster"] for row in removed()) == said["clusters"]
    assert "3-grams of characters, numpy kernel" in done.talk
    assert "0.75: 0.984  0.80: 0.998  0.85: 1.000" in done.talk
    assert report()["probability_to_be_compared"]["0.80"] == round(1 - (1 - 0.8**6) ** 21, 4)
    assert len(report()["examples"]) == 3


def test_examples_are_the_pairs_that_are_near_with_the_least_right():
    texts = sentences(seed=11, count=200)
    dry = dedup(texts_file("a.jsonl", texts), "--id", "id", "--dry-run")
    here("a.jsonl", "--id", "id")
    near = sorted(row["jaccard"] for row in removed() if row["reason"] == "near")
    shown = report()["examples"]
    assert [one["jaccard"] for one in shown] == [round(alike, 4) for alike in near[:3]]
    assert all(one["kept_text"] == texts[int(one["kept"])][:60] for one in shown)
    for one in shown:
        assert f"{one['removed']}  {one['removed_text']}" in dry.talk
        assert f"{one['kept']}  {one['kept_text']}" in dry.talk


def test_rows_that_cannot_be_read_are_kept_apart_with_their_reason():
    good = json.dumps({"text": FEVER}, ensure_ascii=False)
    written("a.jsonl", f'{good}\n["没有列"]\n{{"text": 坏\n{good}\n')
    written("b.csv", f"text,n\n{PRESSURE},1\n太,多,列\n")
    done = here("a.jsonl", "b.csv")
    assert (done.said["texts"], done.said["rejected"], done.said["kept"]) == (3, 3, 2)
    apart = [json.loads(line) for line in Path("build/dedup/rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["place"].split(": ")[0] for row in apart] == ["a.jsonl", "a.jsonl", "b.csv"]
    assert all(row["reason"] and row["raw"] for row in apart)
    assert removed()[0]["twin"] == "a.jsonl: row 1"
    assert [one["rejected"] for one in report()["inputs"]] == [2, 1]
    assert "a.jsonl: 2 rows cannot be read and are kept apart" in done.talk
    here("b.csv")
    written("b.csv", f"text,n\n{PRESSURE},1\n")
    here("b.csv")
    assert not Path("build/dedup/rejected.jsonl").exists()


def test_a_dry_run_says_the_same_and_writes_nothing():
    texts_file("a.jsonl", sentences(seed=12, count=200))
    texts_file("exam.jsonl", [FEVER])
    Path("tmp").mkdir()
    before = files_of(Path.cwd())
    flags = ("a.jsonl", "--against", "exam.jsonl", "--index", "index", "--pairs", "pairs.parquet", "--out", "new/out")
    dry = dedup(*flags, "--dry-run", TMPDIR=str(Path("tmp").resolve()))
    assert files_of(Path.cwd()) == before
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a.jsonl", "exam.jsonl", "tmp"]
    real = dedup(*flags)
    same = set(real.said) - {"seconds", "path"}
    assert {name: dry.said[name] for name in same} == {name: real.said[name] for name in same}
    assert (dry.said["path"], real.said["path"]) == (None, "new/out")
    assert dry.talk == real.talk


# --- for any texts


LETTER = some.one_of(
    some.sampled_from("头疼发烧高血壓藥Ａb①ﬁé。 ，😀\u0301\u200d\0\ud83d"), some.characters(exclude_categories=())
)
ANY = some.lists(some.text(LETTER, max_size=12), min_size=1, max_size=6)
EDITS = some.lists(some.tuples(some.integers(0, 200), LETTER), max_size=12)


@settings(max_examples=150, deadline=None)
@for_all(ANY, EDITS, some.sampled_from(["0.5", "0.8", "1"]), some.sampled_from([1, 2, 5]), some.sampled_from(KERNELS))
def test_of_any_texts_those_that_stay_are_not_near_and_those_that_go_are(texts, edits, threshold, ngram, kernel):
    base = "".join(texts) * 3
    texts = [
        *texts,
        base,
        *(base[: at % (len(base) + 1)] + letter + base[at % (len(base) + 1) :] for at, letter in edits),
    ]
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    scheme = Scheme(float(threshold), ngram, folding=FOLDING)
    gone = find(Listed(texts), scheme, kernel=kernel_for(kernel, 0), threads=2)
    twins = dict(zip(gone.row.tolist(), gone.twin.tolist(), strict=True))
    for (row, twin), similarity, exact in zip(twins.items(), gone.jaccard, gone.exact, strict=True):
        assert twin not in twins
        assert twin < row
        assert similarity == float(jaccard(texts[row], texts[twin], ngram))
        assert jaccard(texts[row], texts[twin], ngram) >= Fraction(threshold)
        assert not exact or folded(texts[row]) in {folded(text) for text in texts[:row]}
    stay = [row for row in range(len(texts)) if row not in twins]
    for one in stay:
        for other in stay[: stay.index(one)]:
            alike = jaccard(texts[one], texts[other], ngram)
            surely = alike >= Fraction(threshold) and 1 - found(float(alike), *scheme.bands) < 1e-9
            assert not surely, (texts[one], texts[other])
