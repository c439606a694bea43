"""Rankings by people: exactly the pairs that they imply, whoever wrote what, and nobody's name in the release."""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import permutations, product
from pathlib import Path
from typing import Any

import polars
import pytest
from clinic import PRESSURE, figures, many, rejected, toyhom
from ranked_answers import FOUR, REHEARSED, Ward, pairs, rank, texts

WEAK_ORDERS = sorted({tuple(1 + sum(x < y for x in ranks) for y in ranks) for ranks in product(range(4), repeat=4)})
"""Every way to rank four answers with ties, as places that count them: (1, 1, 3, 4)."""
HEAD = ("group", "prompt", "answer", "annotator", "rank", "correction")


def sheet(name: str, lines: Iterable[Sequence[object]], head: Sequence[str] = HEAD) -> str:
    """A CSV sheet; lines may be shorter than its head."""
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(head)
        table.writerows([*line, *[""] * (len(head) - len(line))] for line in lines)
    return name


def ranked(
    group: str, ranks: Sequence[object], who: str = "", own: str = "", answers: Sequence[str] = FOUR
) -> list[Any]:
    """The lines of one annotator over the answers of a group."""
    return [
        (group, f"第{group}位：胃疼怎么办？", text, who, place, own) for text, place in zip(answers, ranks, strict=True)
    ]


def implied(ranks: Sequence[int], answers: Sequence[str] = FOUR) -> set[tuple[str, str]]:
    return {
        (answers[one], answers[other]) for one, other in permutations(range(len(ranks)), 2) if ranks[one] < ranks[other]
    }


def tasks(name: str, made: Sequence[dict[str, Any]]) -> str:
    Path(name).write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    return name


def task(number: int, *annotations: dict[str, Any], answers: Sequence[str] = FOUR) -> dict[str, Any]:
    """A task of Label Studio whose items are called a, b, c, d."""
    items = [{"id": id, "title": f"回答 {id}", "body": text} for id, text in zip("abcd", answers, strict=False)]
    data = {"prompt": f"第{number}位：胃疼怎么办？", "items": items}
    return {"id": number, "data": data, "annotations": list(annotations)}


def ranker(order: object, by: object = 1, **more: Any) -> dict[str, Any]:
    result = {"type": "ranker", "from_name": "rank", "to_name": "results", "value": {"ranker": order}}
    return {"completed_by": by, "was_cancelled": False, "result": [result, *more.pop("beside", ())], **more}


# ------------------------------------------------------------------ an order and its pairs


def test_all_75_weak_orders_of_four_answers_give_exactly_the_pairs_they_imply():
    assert len(WEAK_ORDERS) == 75
    lines = [line for number, ranks in enumerate(WEAK_ORDERS) for line in ranked(f"g{number}", ranks)]
    made = rank("--people", sheet("李.csv", lines))
    assert made.code == 0, made.talk
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pairs():
        found.setdefault(row["group"], []).append(row)
    for number, ranks in enumerate(WEAK_ORDERS):
        rows = found.pop(f"g{number}", [])
        assert {texts(row) for row in rows} == implied(ranks), ranks
        stands = {texts(row)[side]: row[name]["rank"] for row in rows for side, name in enumerate(("better", "worse"))}
        assert stands == ({} if len(set(ranks)) == 1 else dict(zip(FOUR, ranks, strict=True)))
        assert {row["weight"] for row in rows} <= {1 / 6}
    assert found == {}
    assert made.said["rejected"] == {"no preference": 1}  # all four the same


@pytest.mark.parametrize("ranks", [(1, 1, 2, 3), (2, 2, 5, 9), ("1.0", "1.0", "3.0", "4.0")])
def test_however_ranks_are_counted_their_order_is_what_counts(ranks):
    rank("--people", sheet("李.csv", ranked("g", ranks)))
    assert {texts(row) for row in pairs()} == implied((1, 1, 3, 4))
    assert {row["worse"]["rank"] for row in pairs()} == {3, 4}


def test_people_give_no_marks():
    rank("--people", sheet("李.csv", ranked("g", (1, 2, 3, 4))))
    row = pairs()[0]
    assert (row["judge"], row["rubric"], row["margin"]) == ("people", "", 0)
    assert (row["better"]["total"], row["better"]["marks"]) == (None, [])


# ------------------------------------------------------------------ two rank, a third adjudicates


def test_where_two_agree_their_order_stands_and_a_third_is_not_needed():
    lines = [*ranked("g", (1, 2, 2, 4), "甲"), *ranked("g", (1, 2, 2, 3), "乙"), *ranked("g", (4, 3, 2, 1), "丙")]
    rank("--people", sheet("all.csv", lines))
    assert {texts(row) for row in pairs()} == implied((1, 2, 2, 4))
    assert (figures(pairs()[0])["annotators"], figures(pairs()[0])["adjudicated"]) == (3, 0)


def test_where_two_differ_the_third_decides_the_whole_order():
    for who, ranks in (("甲", (1, 2, 3, 4)), ("乙", (1, 2, 4, 3)), ("丙", (2, 1, 3, 3))):
        sheet(f"{who}.csv", ranked("g", ranks))  # a copy of the sheet each; the file's name is the annotator's
    rank("--people", "甲.csv", "--people", "乙.csv", "--people", "丙.csv")
    assert {texts(row) for row in pairs()} == implied((2, 1, 3, 3))
    assert figures(pairs()[0])["adjudicated"] == 1


def test_where_two_differ_and_nobody_decides_the_prompt_waits_under_rejected():
    lines = [*ranked("g", (1, 2, 3, 4), "甲"), *ranked("g", (1, 2, 4, 3), "乙"), *ranked("h", (1, 2, 3, 4), "甲")]
    made = rank("--people", sheet("all.csv", lines))
    assert made.said["rejected"] == {"annotators differ": 1}
    (kept,) = rejected()
    assert (kept["key"], kept["detail"]) == ("g", "on 1 pairs, and nobody has adjudicated")


def test_kappa_is_cohens_over_better_worse_and_tie():
    # First says 1>2, 1>2, 2>1, tie; second 1>2, 2>1, 2>1, tie: p_o = 3/4, p_e = (2·1 + 1·2 + 1·1)/16 = 5/16.
    first, second = [(1, 2), (1, 2), (2, 1), (1, 1)], [(1, 2), (2, 1), (2, 1), (1, 1)]
    two = FOUR[:2]
    lines = [line for n, ranks in enumerate(first) for line in ranked(f"g{n}", ranks, "甲", answers=two)]
    lines += [line for n, ranks in enumerate(second) for line in ranked(f"g{n}", ranks, "乙", answers=two)]
    made = rank("--people", sheet("all.csv", lines))
    assert "4 of them by two: Cohen's kappa 0.636, over 4 pairs" in made.talk  # (12/16 - 5/16) / (11/16) = 7/11
    assert {figures(row)["cohens_kappa"] for row in pairs()} == {0.6364}
    assert made.said["rejected"] == {"annotators differ": 1, "no preference": 1}


def test_an_annotators_own_answer_comes_first():
    rank("--people", sheet("李.csv", ranked("g", (1, 2, 3, 3), own="先做幽门螺杆菌检测。")))
    rows = pairs()
    assert {texts(row) for row in rows} == implied((1, 2, 3, 4, 4), ("先做幽门螺杆菌检测。", *FOUR))
    best = [row for row in rows if row["better"]["rank"] == 1]
    assert {(row["better"]["writer"], row["origin"]) for row in best} == {("annotator", "real")}
    assert {(row["answers"], row["weight"]) for row in rows} == {(5, 1 / 10)}


def test_a_correction_counts_where_its_writers_order_stands():
    lines = [
        *ranked("g", (1, 2, 3, 4), "甲", own="甲的回答。"),
        *ranked("g", (2, 1, 3, 4), "乙"),
        *ranked("g", (2, 1, 3, 4), "丙", own="丙的回答。"),
    ]
    rank("--people", sheet("all.csv", lines))
    assert {texts(row)[0] for row in pairs() if row["better"]["writer"] == "annotator"} == {"丙的回答。"}


# ------------------------------------------------------------------ Label Studio


def test_a_ranker_lists_the_best_first_and_no_order_is_turned_round():
    orders = list(permutations("abcd"))
    made = rank("--people", tasks("export.json", [task(n, ranker({"rank": list(o)})) for n, o in enumerate(orders, 1)]))
    assert made.code == 0, made.talk
    for number, order in enumerate(orders, 1):
        found = {texts(row) for row in pairs() if row["group"] == str(number)}
        assert found == implied([order.index(id) for id in "abcd"]), order


def test_those_in_one_bucket_tie():
    buckets = {"第2名": ["a", "d"], "第1名": ["c"], "第3名": ["b"], "_": []}
    rank("--people", tasks("export.json", [task(1, ranker(buckets))]))
    assert {texts(row) for row in pairs()} == implied((2, 4, 1, 2))


def test_a_pairwise_choice_is_one_pair():
    data = {"prompt": "胃疼怎么办？", "left_answer": FOUR[0], "right_answer": FOUR[1]}
    result = {"type": "pairwise", "to_name": "left_answer,right_answer", "value": {"selected": "right"}}
    chosen = {"completed_by": 1, "result": [{**result, "from_name": "pw"}]}
    rank("--people", tasks("export.json", [{"id": 1, "data": data, "annotations": [chosen]}]))
    assert [texts(row) for row in pairs()] == [(FOUR[1], FOUR[0])]


def test_what_was_cancelled_is_not_heard_and_a_text_area_corrects():
    own = {"type": "textarea", "from_name": "correction", "to_name": "p", "value": {"text": ["先做检查。"]}}
    cancelled = ranker({"rank": list("dcba")}, by={"id": 7, "email": "wang@example.org"}) | {"was_cancelled": True}
    rank("--people", tasks("export.json", [task(1, cancelled, ranker({"rank": list("abcd")}, beside=[own]))]))
    assert {texts(row) for row in pairs()} == implied((1, 2, 3, 4, 5), ("先做检查。", *FOUR))


@pytest.mark.parametrize(
    ("made", "talk"),
    [
        ({"rows": []}, "export.json: no export of Label Studio"),
        (
            [task(3, ranker({"好": ["a"], "坏": ["b", "c", "d"]}))],
            "task 3: ValueError: ranker: bucket '好' has no number",
        ),
        ([task(3, ranker({"rank": ["a", "x"]}))], "task 3: ValueError: ranker: 'x' is none of its items"),
        ([task(3, ranker({"rank": ["a", "b"]}))], "task 3: rank: 1 has ranked 2 of 4 answers"),
    ],
)
def test_an_export_that_cannot_be_understood_is_one_line(made, talk):
    ended = rank("--people", tasks("export.json", made))
    assert ended.code == 2
    assert talk in ended.talk


# ------------------------------------------------------------------ the blind sheet


def filled(name: str, by: dict[str, int], into: str) -> None:
    """Fill in a sheet as a person would: the ranks alone, by the answer's text."""
    lines = list(csv.DictReader(Path(name).read_text(encoding="utf-8-sig").splitlines(keepends=True)))
    sheet(into, [[*list(line.values())[:5], by[line["answer"].strip()]] for line in lines], list(lines[0]))


def test_a_sheet_hides_who_wrote_what_and_the_release_remembers(serve):
    listed = ("- 多喝热水\n- 早睡", *FOUR[1:])
    ward = Ward(serve, listed)
    source = toyhom("answers.csv", [PRESSURE])
    flags = ("--with-reference", "--export-sheet", "sheet.csv", "--out", "candidates")
    made = rank("--data", source, *ward.flags[:2], *ward.flags[4:], *flags)
    assert made.code == 0, made.talk
    assert ward.judge == []
    blind = Path("sheet.csv").read_text(encoding="utf-8-sig")
    assert "policy" not in blind
    assert "127.0.0.1" not in blind
    shown = [line["answer"].strip() for line in csv.DictReader(blind.splitlines(keepends=True))]
    assert sorted(shown) == sorted([*listed, PRESSURE[1]])
    assert shown != [*listed, PRESSURE[1]]
    assert "\n- " not in blind.replace("- 早睡", "")  # no cell begins like a formula

    order = dict(zip([PRESSURE[1], *listed], (1, 2, 3, 4, 5), strict=True))
    filled("sheet.csv", order, "李.csv")
    back = rank("--people", "李.csv", "--data", "candidates")
    assert back.code == 0, back.talk
    rows = pairs()
    assert len(rows) == 10
    stands = {row["better"]["rank"]: row["better"] for row in rows}
    assert (stands[1]["writer"], stands[1]["model"]) == ("doctor", "")
    assert [(stands[place]["model"], stands[place]["sample"]) for place in (2, 3, 4)] == [
        ("p@127.0.0.1", sample) for sample in range(3)
    ]
    assert {row["reference"] for row in rows} == {PRESSURE[1]}
    assert {len(row["provenance"]["calls"]) for row in rows} == {4}
    assert {row["department"] for row in rows} == {"internal_medicine"}


def test_rehearsed_answers_stay_rehearsed_whoever_ranks_them():
    made = rank("--data", toyhom("answers.csv", many(2)), *REHEARSED, "--export-sheet", "sheet.json", "--out", "cand")
    assert made.code == 0, made.talk
    made_tasks = json.loads(Path("sheet.json").read_text())
    for one in made_tasks:
        one["annotations"] = [ranker({"rank": [item["id"] for item in one["data"]["items"]]})]
    rank("--people", tasks("export.json", made_tasks), "--data", "cand")
    assert all(row["provenance"]["rehearsal"] for row in pairs())
    assert len({row["group"] for row in pairs()}) == 2


def test_a_sheet_that_may_be_filled_in_is_not_written_over():
    sheet("sheet.csv", ranked("g", (1, 2, 3, 4)))
    before = Path("sheet.csv").read_bytes()
    ended = rank("--data", toyhom("answers.csv", [PRESSURE]), *REHEARSED, "--export-sheet", "sheet.csv")
    assert ended.code == 2
    assert "--export-sheet sheet.csv: is there already" in ended.talk
    assert Path("sheet.csv").read_bytes() == before


def test_equal_seeds_shuffle_equally_and_others_do_not():
    source = toyhom("answers.csv", many(8))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        rank("--data", source, *REHEARSED, "--export-sheet", f"{name}.csv", "--out", f"cand-{name}", "--seed", seed)
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes() != Path("c.csv").read_bytes()


# ------------------------------------------------------------------ what is wrong with a sheet, and what is private in it


@pytest.mark.parametrize(
    ("lines", "talk"),
    [
        (ranked("g", (1, "二", 3, 4)), "all.csv: row 2: rank: expected a whole number from 1, got '二'"),
        (ranked("g", (1, 0, 3, 4)), "all.csv: row 2: rank: expected a whole number from 1, got '0'"),
        (ranked("g", (1, 2, "", 4), "甲"), "all.csv: row 3: rank: 甲 has ranked 3 of 4 answers"),
        (
            [line for who in "甲乙丙丁" for line in ranked("g", (1, 2, 3, 4), who)],
            "group 'g': 4 annotators; two rank, a third adjudicates",
        ),
        ([*ranked("g", (1, 2, 3, 4)), ("g", "另一个问题", "回答", "", 5)], "all.csv: row 5: prompt: not that of"),
        (
            [*ranked("g", (1, 2, 3, 4)), *ranked("g", (1, 2, 3, 4))[:1]],
            "row 5: rank: all has ranked this answer before",
        ),
        ([("", "胃疼", "多休息", "", 1)], "all.csv: row 1: group: is empty"),
    ],
)
def test_a_sheet_that_is_filled_in_wrongly_names_the_row_and_the_column(lines, talk):
    ended = rank("--people", sheet("all.csv", lines))
    assert ended.code == 2
    assert talk in ended.talk


def test_a_sheet_needs_its_columns():
    ended = rank("--people", sheet("all.csv", [("g", "胃疼", "多休息")], ("group", "prompt", "answer")))
    assert (ended.code, "no column rank; there are group, prompt, answer" in ended.talk) == (2, True)


def test_a_sheet_about_other_answers_is_told_from_its_release():
    rank("--data", toyhom("answers.csv", [PRESSURE]), *REHEARSED, "--export-sheet", "sheet.csv", "--out", "cand")
    ended = rank("--people", sheet("all.csv", ranked("g", (1, 2, 3, 4))), "--data", "cand")
    assert (ended.code, "group 'g' is none of those in --data" in ended.talk) == (2, True)


def test_a_prompt_that_nobody_ranked_is_not_lost():
    made = rank("--people", sheet("all.csv", [*ranked("g", ("",) * 4), *ranked("h", (1, 2, 3, 4))]))
    assert made.said["rejected"] == {"nobody ranked it": 1}


def test_neither_annotators_nor_patients_are_named():
    lines = [
        (group, "我的电话13800138000，胃疼怎么办？", text, who, place, "请王建国医生看，电话13900139000")
        for who in ("欧阳建国", "")
        for group in "gh"
        for text, place in zip(FOUR, (1, 2, 3, 4), strict=True)
    ]
    rank("--people", sheet("尉迟建军.csv", lines))
    said = json.dumps(polars.read_parquet("set/preferences/*.parquet").to_dicts(), ensure_ascii=False)
    said += Path("set/README.md").read_text() + Path("set/manifest.json").read_text()
    for private in ("13800138000", "13900139000", "王建国", "欧阳", "尉迟"):
        assert private not in said
    assert pairs()[0]["prompt"][0]["content"] == "我的电话[电话1]，胃疼怎么办？"
