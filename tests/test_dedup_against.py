"""What training texts are held against: evaluation sets, which they must not give away, and the releases before."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from dedup_texts import (
    distinct,
    given,
    here,
    jaccard,
    kept,
    message,
    refused,
    removed,
    report,
    sentence,
    sentences,
    table,
    texts_file,
)
from folders import files_of
from tables import written

from builders.engine.dedup import decide, stored
from builders.engine.dedup import texts as texts_of_a_source

SHORT = distinct(8)  # no 13-gram in it
QUESTION = distinct(40, first=100)  # 28 13-grams, 36 shingles of 5
CASE = distinct(200, first=200)  # 188 13-grams
OTHER = distinct(60, first=500)
SLEEPLESS = "最近工作压力大夜里翻来覆去睡不着白天没有精神请问吃什么可以调理"


def around(text: str, first: int) -> str:
    """A long answer with this text in its middle; another `first`, other words around it."""
    return distinct(80, first=first) + text + distinct(80, first=first + 80)


def exam(name: str, *questions: str) -> str:
    written(name, "question,letter\n" + "".join(f"{question},A\n" for question in questions))
    return name


def cleaned(texts: list[str], *flags: object) -> dict:
    """Run against exam.csv; gives the report of the first evaluation set."""
    texts_file("train.jsonl", texts)
    done = here("train.jsonl", "--id", "id", "--against", "exam.csv", "--against-text", "{question}", *flags)
    assert done.code == 0, done.talk
    assert sorted(kept() + [row["id"] for row in removed()]) == list(range(len(texts)))
    return report()["benchmarks"][0]


def given_away() -> dict[int, str]:
    """Removed for an evaluation item → its place."""
    return {row["id"]: row["twin"] for row in removed() if row["reason"] == "evaluation"}


# --- evaluation sets


def test_a_text_that_is_near_to_an_item_is_removed():
    exam("exam.csv", SHORT, QUESTION)
    near = QUESTION[:39] + "吗"
    said = cleaned([near, OTHER])
    assert given_away() == {0: "exam.csv: row 2"}
    assert removed()[0]["jaccard"] == 35 / 37
    assert removed()[0]["cluster"] is None
    assert said["pairs"] == {"near_duplicate": 1, "holds_half_of_an_item": 1, "shares_64_characters": 0}
    assert said["examples"] == [
        {"text": "0", "item": "exam.csv: row 2", "jaccard": 0.9459, "covered": round(27 / 28, 4), "span": 39}
    ]


@pytest.mark.parametrize(
    ("held", "share", "goes"), [(QUESTION[:25], 13 / 28, False), (QUESTION[:26], 0.5, True), (QUESTION, 1.0, True)]
)
def test_a_text_that_holds_half_of_an_item_is_removed(held, share, goes):
    exam("exam.csv", SHORT, QUESTION)
    said = cleaned([around(held, 1000), OTHER])
    assert given_away() == ({0: "exam.csv: row 2"} if goes else {})
    assert (said["removed"], said["only_touched"], said["items_hit"]) == ((1, 0, 1) if goes else (0, 1, 0))
    assert [(one["covered"], one["span"]) for one in said["examples"]] == [(round(share, 4), len(held))] * goes


@pytest.mark.parametrize(("characters", "removed_texts", "touched"), [(64, 1, 0), (63, 0, 1), (13, 0, 1), (12, 0, 0)])
def test_a_text_that_shares_64_characters_is_removed_and_13_are_counted(characters, removed_texts, touched):
    exam("exam.csv", CASE)
    said = cleaned([around(CASE[70 : 70 + characters], 1000)])
    assert (said["removed"], said["only_touched"]) == (removed_texts, touched)
    assert said["pairs"].get("shares_64_characters", 0) == removed_texts
    assert said["pairs"].get("holds_half_of_an_item", 0) == 0  # 52 of 188


def test_pieces_of_an_item_add_up_and_repeats_do_not():
    exam("exam.csv", QUESTION)
    pieces = around(QUESTION[:19] + "中" + QUESTION[21:], 1000)  # 7 and 7 of 28
    again = around("断".join([QUESTION[:19]] * 5), 2000)
    said = cleaned([pieces, again])
    assert list(given_away()) == [0]
    assert (said["examples"][0]["covered"], said["examples"][0]["span"], said["only_touched"]) == (0.5, 19, 1)


def test_writing_it_otherwise_does_not_hide_an_item():
    case = "患者男性五十六歲，胸痛兩小時，心電圖示Ⅱ、Ⅲ、aVF導聯ST段抬高，最可能的診斷是什麼"
    plain = "患者男性五十六岁胸痛两小时心电图示IIIIIaVF导联ST段抬高最可能的诊断是什么"
    exam("exam.csv", f'"{case}"')
    assert cleaned([around(plain, 1000), plain.lower() + "？"])["removed"] == 2


def test_an_item_shorter_than_13_characters_is_found_as_a_whole_alone():
    exam("exam.csv", SHORT)
    said = cleaned([SHORT, around(SHORT, 1000), SHORT + "？！"])
    assert given_away() == {0: "exam.csv: row 1", 2: "exam.csv: row 1"}
    assert (said["items_hit"], said["removed"], said["only_touched"]) == (1, 2, 0)


def test_copies_of_what_gives_an_item_away_go_with_it():
    exam("exam.csv", QUESTION)
    answer = around(QUESTION, 1000)
    near = QUESTION + "呢"
    said = cleaned([answer, QUESTION, answer + "。", near, near + "！", QUESTION + "？", OTHER, OTHER])
    assert set(given_away()) == {0, 1, 2, 3, 4, 5}
    assert said["removed"] == 6
    assert {row["id"]: row["jaccard"] for row in removed() if row["id"] in (1, 3, 4, 5)} == {
        **dict.fromkeys((1, 5), 1.0),
        **dict.fromkeys((3, 4), 36 / 37),
    }
    assert kept() == [6]


def test_the_similarity_of_what_holds_an_item_is_no_invention():
    exam("exam.csv", QUESTION)
    answer = around(QUESTION, 1000)
    cleaned([answer])
    assert removed()[0]["jaccard"] in (None, float(jaccard(answer, QUESTION)))


def test_what_is_near_to_a_text_that_is_removed_stays_unless_it_gives_the_item_away_too():
    exam("exam.csv", QUESTION)
    gives, touches = around(QUESTION[:26], 1000), around(QUESTION[:25] + "中", 1000)
    assert jaccard(gives, touches) > 0.9
    said = cleaned([gives, touches])
    assert (list(given_away()), kept()) == ([0], [1])
    assert said["only_touched"] == 1


def test_the_same_item_in_two_evaluation_sets_is_reported_by_both():
    exam("exam.csv", QUESTION, SHORT)
    exam("b.csv", CASE, QUESTION + "？", QUESTION)
    said = cleaned([QUESTION, around(QUESTION, 1000), QUESTION + "呢", OTHER], "--against", "b.csv")
    other = report()["benchmarks"][1]
    assert (said["benchmark"], said["items"], said["items_hit"], said["removed"]) == ("exam.csv", 2, 1, 3)
    assert (other["benchmark"], other["items"], other["items_hit"], other["removed"]) == ("b.csv", 3, 2, 3)
    assert set(given_away().values()) == {"exam.csv: row 1"}


def test_a_copy_of_one_item_that_holds_another_is_reported_of_both():
    exam("exam.csv", around(QUESTION, 1000))
    exam("b.csv", QUESTION)
    cleaned([around(QUESTION, 1000)], "--against", "b.csv")
    assert [(one["removed"], one["items_hit"]) for one in report()["benchmarks"]] == [(1, 1), (1, 1)]


@pytest.mark.parametrize("mode", ["leader", "cluster"])
@pytest.mark.parametrize("keep", ["first", "longest"])
def test_the_figures_of_a_report_add_up(keep, mode):
    exam("exam.csv", SHORT, QUESTION, CASE)
    texts = [
        *(OTHER, OTHER + "呢", SHORT, QUESTION[:39] + "吗", around(QUESTION[:30], 1000), around(QUESTION[:30], 1000)),
        *(around(CASE[:64], 1200), around(CASE[:63], 1400), around(CASE[:20] + QUESTION[:20], 1600), "", "", "头疼"),
    ]
    texts_file("train.jsonl", texts)
    flags = ("--keep", keep, "--mode", mode, "--against", "exam.csv", "--against-text", "{question}", "--id", "id")
    done = here("train.jsonl", *flags)
    said = report()["benchmarks"][0]
    assert {name: done.said[name] for name in ("texts", "exact", "near", "evaluation", "kept")} == {
        "texts": 12,
        "exact": 1,
        "near": 1,
        "evaluation": 5,
        "kept": 5,
    }
    assert set(given_away()) == {2, 3, 4, 5, 6}
    assert given_away()[6] == "exam.csv: row 3"
    assert (said["items"], said["items_hit"], said["removed"], said["only_touched"]) == (3, 3, 5, 2)
    assert said["pairs"] == {"near_duplicate": 2, "holds_half_of_an_item": 3, "shares_64_characters": 1}
    line = "exam.csv: 3 of 3 items given away by 5 texts; 2 more share 13 characters with one"
    assert line in done.talk
    assert len(said["examples"]) == 5


def test_evaluation_sets_are_never_written():
    exam("exam.csv", QUESTION, QUESTION, OTHER)
    cleaned([SLEEPLESS, SLEEPLESS])
    assert kept() == [0]
    assert list(table("build/dedup/kept.parquet")[0]) == ["id", "text"]
    assert report()["counts"]["texts"] == 2
    assert [one["name"] for one in report()["inputs"]] == ["train.jsonl"]


def test_what_is_compared_of_an_evaluation_set_is_a_flag_of_its_own():
    exam("exam.csv", QUESTION)
    given(
        "train.jsonl", [{"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": OTHER}]}]
    )
    flags = ("train.jsonl", "--text", "messages", "--granularity", "first-turn", "--against", "exam.csv")
    said = refused(*flags)
    assert said.startswith("--against exam.csv: --text messages: no column 'messages'")
    assert said.endswith("; --against-text says what is compared of evaluation sets")
    assert here(*flags, "--against-text", "question").said["evaluation"] == 1
    assert here(*flags, "--against-text", "{question} {letter}").said["evaluation"] == 1
    assert refused(*flags, "--against-text", "qestion").startswith(
        "--against exam.csv: --against-text qestion: no column 'qestion'; did you mean question?"
    )


def test_an_evaluation_set_without_rows_is_no_trouble():
    written("exam.csv", "question,letter\n")
    assert cleaned([OTHER])["items"] == 0


@pytest.mark.parametrize("kernel", ["numpy", "compiled"])
def test_every_13_gram_of_many_texts_is_found(kernel):
    if kernel == "compiled":
        pytest.importorskip("numba", reason="the compiled kernel needs the extra `fast`")
    draw = random.Random(3)
    items = [sentence(draw, 10, 60) for _ in range(60)]
    texts = [sentence(draw, 0, 40) + part(draw, draw.choice(items)) + sentence(draw, 0, 40) for _ in range(300)]
    exam("exam.csv", *items)
    said = cleaned(texts, "--kernel", kernel)
    goes = {n for n, text in enumerate(texts) if any(gives_away(text, item) for item in items)}
    touches = {n for n, text in enumerate(texts) if any(grams13(text) & grams13(item) for item in items)}
    assert set(given_away()) == goes
    assert said["only_touched"] == len(touches - goes) > 20
    assert len(goes) > 50


def part(draw: random.Random, text: str) -> str:
    start = draw.randrange(len(text))
    return text[start : start + draw.randint(5, 60)]


def grams13(text: str) -> set[str]:
    return {text[at : at + 13] for at in range(len(text) - 12)}


def gives_away(text: str, item: str) -> bool:
    """The slow, obvious way."""
    own = [item[at : at + 13] for at in range(len(item) - 12)]
    spans = any(item[at : at + 64] in text for at in range(len(item) - 63))
    return spans or (bool(own) and 2 * sum(gram in text for gram in own) >= len(own)) or jaccard(text, item) >= 0.8


# --- earlier releases


FIRST = sentences(seed=20, count=240)
NEXT = [*FIRST[:40], *(text + "吧" for text in FIRST[40:100]), *sentences(seed=21, count=120)]
LAST = [*NEXT[::3], *(text[1:] for text in FIRST[::5]), *sentences(seed=22, count=60)]
SETTINGS = ("--ngram", 3, "--id", "id")


def releases() -> None:
    for name, texts in (("1.0", FIRST), ("1.1", NEXT), ("1.2", LAST)):
        given(f"{name}.jsonl", ({"id": f"{name}/{number:03d}", "text": text} for number, text in enumerate(texts)))


def release(name: str, *flags: object, index: str = "index") -> dict:
    done = here(f"{name}.jsonl", *SETTINGS, "--index", index, "--out", f"build/{name}", *flags)
    assert done.code == 0, done.talk
    return done.said


def test_a_release_is_compared_with_those_before_as_if_they_were_read_again():
    releases()
    release("1.0")
    assert release("1.1")["exact"] >= 40
    Path("1.0.jsonl").rename("gone.jsonl")  # it is not needed any more
    release("1.2")
    Path("gone.jsonl").rename("1.0.jsonl")
    here("1.0.jsonl", "1.1.jsonl", "1.2.jsonl", *SETTINGS, "--precedence", "--out", "build/all")
    for name in ("1.0", "1.1", "1.2"):
        assert kept(f"build/{name}") == [row for row in kept("build/all") if row.startswith(name)]
        together = [row for row in removed("build/all") if row["id"].startswith(name)]
        for mine, one in zip(removed(f"build/{name}"), together, strict=True):
            same = ("id", "twin", "jaccard", "reason")
            assert {column: mine[column] for column in same} == {column: one[column] for column in same}
    assert {row["twin"].split("/")[0] for row in removed("build/1.2")} == {"1.0", "1.1", "1.2"}


def test_segments_batches_and_blocks_may_be_of_any_size(monkeypatch):
    releases()
    for name in ("1.0", "1.1", "1.2"):
        release(name)
    monkeypatch.setattr(stored, "MOST_ROWS", 16)  # 16 million
    monkeypatch.setattr(stored, "BATCH", 5)
    monkeypatch.setattr(texts_of_a_source, "BATCH", 7)
    monkeypatch.setattr(texts_of_a_source, "FAR", 9)
    monkeypatch.setattr(decide, "BLOCK", 11)
    for name in ("1.0", "1.1", "1.2"):
        before = {which: table(f"build/{name}/{which}.parquet") for which in ("kept", "removed")}
        release(name, index="small")
        assert {which: table(f"build/{name}/{which}.parquet") for which in ("kept", "removed")} == before
    assert len(list(Path("small").glob("segment-*"))) > 12


def test_a_text_of_an_earlier_release_is_called_what_that_called_it():
    texts_file("old.jsonl", [OTHER, QUESTION])
    here("old.jsonl", "--index", "index")  # without ids, by file and row
    shutil.move("old.jsonl", "elsewhere.jsonl")
    here(
        given("new.jsonl", [{"id": "新", "text": QUESTION + "？"}, {"id": "近", "text": OTHER + "呢"}]),
        "--index",
        "index",
    )
    assert [(row["id"], row["twin"], row["reason"], row["jaccard"]) for row in removed()] == [
        ("新", "old.jsonl: row 2", "exact", 1.0),
        ("近", "old.jsonl: row 1", "near", 56 / 57),
    ]
    assert kept() == []


def test_a_longer_text_does_not_take_the_place_of_a_released_one():
    texts_file("old.jsonl", [OTHER])
    texts_file("new.jsonl", [OTHER + "呢", QUESTION, QUESTION + "呢"])
    here("old.jsonl", "--index", "index", "--keep", "longest")
    here("new.jsonl", "--index", "index", "--keep", "longest")
    assert kept() == [2]


def test_the_same_run_again_gives_the_same_and_leaves_the_index_as_it_was():
    releases()
    for name in ("1.0", "1.1"):
        release(name)
    before, index = (files_of(Path(folder)) for folder in ("build/1.1", "index"))
    for more in ((), ("--threads", 1), ("--pairs", "pairs.parquet"), ("--kernel", "numpy")):
        release("1.1", *more)
        again = files_of(Path("build/1.1"))
        assert {name: again[name] for name in ("kept.parquet", "removed.parquet")} == {
            name: before[name] for name in ("kept.parquet", "removed.parquet")
        }
        assert files_of(Path("index")) == index
    assert {row["other"].split("/")[0] for row in table("pairs.parquet")} == {"1.0", "1.1"}


def test_an_earlier_release_again_keeps_what_it_kept_and_the_index_what_it_holds():
    releases()
    for name in ("1.0", "1.1"):
        release(name)
    first = kept("build/1.0")
    release("1.0")
    assert kept("build/1.0") == first
    release("1.2", "--dry-run")
    release("1.2")
    again = kept("build/1.2")
    for name in ("1.0", "1.1", "1.2"):
        release(name, index="fresh")
    assert again == kept("build/1.2")


def test_a_dry_run_after_a_run_says_the_same_and_not_that_all_are_copies():
    releases()
    release("1.0")
    real = release("1.1")
    index = files_of(Path("index"))
    dry = release("1.1", "--dry-run")
    counts = {"texts", "exact", "near", "clusters", "kept"}
    assert {name: dry[name] for name in counts} == {name: real[name] for name in counts}
    assert files_of(Path("index")) == index


@pytest.mark.parametrize("change", ["time", "path", "keep", "evaluation set"])
def test_a_release_read_again_is_no_copy_of_itself_or_the_run_is_refused(change):
    texts_file("a.jsonl", [OTHER, QUESTION, QUESTION + "呢", CASE])
    exam("exam.csv", CASE)
    here("a.jsonl", "--index", "index")
    if change == "time":
        os.utime("a.jsonl", ns=(0, 0))
    path = "./a.jsonl" if change == "path" else "a.jsonl"
    against = ("--against", "exam.csv", "--against-text", "question")
    flags = {"keep": ("--keep", "longest"), "evaluation set": against}.get(change, ())
    done = here(path, "--index", "index", *flags)
    if done.code == 0:
        assert done.said["kept"] == (2 if change == "evaluation set" else 3)
    else:
        assert (done.code, "index" in message(done.talk)) == (2, True)


def test_what_gives_an_evaluation_item_away_is_not_remembered():
    exam("exam.csv", QUESTION)
    texts_file("old.jsonl", [QUESTION, OTHER])
    here("old.jsonl", "--index", "index", "--against", "exam.csv", "--against-text", "question")
    assert kept() == [1]
    texts_file("new.jsonl", [QUESTION, OTHER, OTHER + "！"])
    here("new.jsonl", "--index", "index")
    assert kept() == [0]
    texts_file("newest.jsonl", [OTHER + "。", around(QUESTION, 1000)])
    said = here("newest.jsonl", "--index", "index", "--against", "exam.csv", "--against-text", "question").said
    assert (said["exact"], said["evaluation"], said["kept"]) == (1, 1, 0)


def test_a_release_without_anything_new_adds_nothing():
    texts_file("a.jsonl", [OTHER, QUESTION])
    texts_file("b.jsonl", [OTHER + "。"])
    here("a.jsonl", "--index", "index")
    before = files_of(Path("index"))
    assert here("b.jsonl", "--index", "index").said["kept"] == 0
    assert files_of(Path("index")) == before


@pytest.mark.parametrize(
    "flags", [("--ngram", 4), ("--threshold", 0.7), ("--fold", "nfkc,case"), ("--permutations", 64)]
)
def test_texts_compared_in_another_way_are_refused_in_one_line(flags):
    texts_file("a.jsonl", [OTHER])
    here("a.jsonl", "--index", "index")
    done = here("a.jsonl", "--index", "index", *flags)
    assert done.code == 2
    assert message(done.talk).startswith("--index index: was made with ")
    assert here("a.jsonl", "--index", "index", "--fold", "simplified,punctuation,width,case,nfkc").code == 0


@pytest.mark.parametrize("name", ["index.json", "bands", "copies", "rows", "lengths", "texts.parquet"])
@pytest.mark.parametrize("left", [0, 0.5, 0.99, None])
def test_a_damaged_index_is_one_line_that_names_it(name, left):
    texts_file("a.jsonl", sentences(seed=23, count=100))
    texts_file(
        "b.jsonl", [*sentences(seed=23, count=100)[:50], *(t + "吗" for t in sentences(seed=23, count=100)[50:])]
    )
    here("a.jsonl", "--index", "index", *SETTINGS)
    (victim,) = Path("index").rglob(name)
    content = victim.read_bytes()
    victim.unlink() if left is None else victim.write_bytes(content[: int(left * len(content))])
    done = here("b.jsonl", "--index", "index", *SETTINGS)
    assert done.code == 2
    assert "index" in message(done.talk)


@pytest.mark.parametrize("segments", [[], 3, [{}], [{"folder": "../..", "rows": 5, "run": "x"}], [7]])
def test_an_index_whose_list_is_nonsense_is_one_line(segments):
    texts_file("a.jsonl", [OTHER])
    here("a.jsonl", "--index", "index")
    path = Path("index/index.json")
    listed = json.loads(path.read_text())
    path.write_text(json.dumps(listed | {"segments": segments} if segments else segments))
    done = here("a.jsonl", "--index", "index")
    assert done.code == 2
    assert message(done.talk).startswith("--index index")
