"""Answers of a policy through the front door: what the marks imply becomes pairs, and nothing else does."""

import json
from pathlib import Path

import datasets
import polars
import pytest
from aiohttp import web
from clinic import PRESSURE, build, cmdd, figures, many, rejected, toyhom
from folders import files_of
from ranked_answers import FOUR, REHEARSED, Ward, pairs, rank, texts

HUATUO = ("informativeness", "coherence", "patient_preference", "factuality")


def cut_off(text: str) -> web.Response:
    """A completion that ends at its length limit."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
    return web.json_response({"id": "1", "object": "chat.completion", "created": 0, "model": "p", "choices": [choice]})


def talks(*conversations: list[tuple[str, str]], name: str = "talks.jsonl") -> str:
    """A table with messages."""
    lines = [
        json.dumps({"messages": [{"role": role, "content": text} for role, text in said]}, ensure_ascii=False)
        for said in conversations
    ]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


# ------------------------------------------------------------------ what the marks imply


def test_the_pairs_are_those_that_the_marks_imply(serve):
    ward = Ward(serve, marks=dict(zip(FOUR, (9, 7, 7.2, 3), strict=True)))
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    assert made.code == 0, made.talk
    rows = pairs()
    found = {row["key"].rpartition("#")[2]: (*texts(row), row["margin"]) for row in rows}
    assert found == {
        "1-2": (FOUR[0], FOUR[1], 2.0),
        "1-3": (FOUR[0], FOUR[2], 1.8),
        "1-4": (FOUR[0], FOUR[3], 6.0),
        "2-4": (FOUR[1], FOUR[3], 4.0),
        "3-4": (FOUR[2], FOUR[3], 4.2),
    }  # 7 and 7.2 are nearer than half a mark
    assert {(row["weight"], row["answers"]) for row in rows} == {(1 / 6, 4)}
    stands = {row[side]["sample"]: row[side] for row in rows for side in ("better", "worse")}
    assert [stands[sample]["rank"] for sample in range(4)] == [1, 2, 2, 4]
    assert [stands[sample]["total"] for sample in range(4)] == [9, 7, 7.2, 3]
    assert stands[0]["marks"] == [{"criterion": id, "marks": [9, 9]} for id in HUATUO]
    assert stands[0]["reasons"] == ["第1个", "第4个"]  # read forwards and backwards
    assert {(row["judge"], row["rubric"], row["better"]["model"]) for row in rows} == {
        ("j@127.0.0.1", "huatuo", "p@127.0.0.1")
    }


def test_a_judge_who_likes_whatever_stands_first_prefers_nothing(serve):
    ward = Ward(serve, marks=lambda one: 9 if one["n"] == 1 else 6)
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    assert made.said["rejected"] == {"no preference": 1}
    assert len(ward.judge) == 2


@pytest.mark.parametrize(("margin", "count"), [("0.5", 1), ("1.5", 0)])
def test_the_margin_says_how_far_apart_is_apart(serve, margin, count):
    ward = Ward(serve, marks=dict(zip(FOUR, (6, 5, 5, 5), strict=True)))
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags, "--margin", margin, "--answers", 2)
    assert made.said["rows"] == count


def test_by_zhongjings_rubric_the_safer_answer_wins_whatever_its_tone(serve):
    cold, warm = {"safety": 9, "warm_tone": 1}, {"safety": 5, "warm_tone": 10}
    ward = Ward(serve, marks={FOUR[0]: warm, FOUR[1]: cold})
    rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags, "--rubric", "zhongjing", "--answers", 2)
    (row,) = pairs()
    assert texts(row) == (FOUR[1], FOUR[0])
    assert row["margin"] == pytest.approx(4 / 3, abs=1e-4)  # three marks of safety, one of them four apart
    assert (row["weight"], row["rubric"]) == (1, "zhongjing")


def test_length_is_measured_so_that_the_card_can_tell_its_bias(serve):
    ward = Ward(serve, marks=dict(zip(FOUR, (9, 7, 5, 3), strict=True)))
    rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    lengths = list(map(len, FOUR))
    expected = [(one, other) for one in range(4) for other in range(one + 1, 4)]
    measured = [figures(row) for row in pairs()]
    assert [one["chosen_longer_by_chars"] for one in measured] == [lengths[a] - lengths[b] for a, b in expected]
    longer = sum(lengths[a] > lengths[b] for a, b in expected)
    assert f"| chosen_is_longer | 6 | {longer} |" in Path("set/README.md").read_text()
    assert [one.get("orders_agree") for one in measured] == [1, *[None] * 5]  # a figure of the group, told once


# ------------------------------------------------------------------ which answers are judged


def test_copies_are_left_out_and_counted_before_anybody_judges(serve):
    says = (FOUR[0], f" {FOUR[0]} ", FOUR[2], FOUR[0])
    ward = Ward(serve, says, marks={FOUR[0]: 8})
    rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    (row,) = pairs()
    assert (texts(row), row["weight"], row["answers"]) == ((FOUR[0], FOUR[2]), 1, 2)
    assert (row["worse"]["sample"], figures(row)["answers_copied"]) == (2, 2)


def test_a_group_of_copies_is_rejected_and_costs_no_judge(serve):
    ward = Ward(serve, (FOUR[0],) * 4)
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    assert made.said["rejected"] == {"answers alike": 1}
    assert ward.judge == []


@pytest.mark.parametrize(
    ("flawed", "figure"),
    [(cut_off("考虑胃溃疡，建议"), "answers_cut"), ("  ", "answers_empty"), ("请打13800138000", "answers_private")],
)
def test_an_answer_that_is_none_is_left_out_and_counted(serve, flawed, figure):
    ward = Ward(serve, lambda body: flawed if body["seed"] == 1 else FOUR[body["seed"]], {FOUR[0]: 8})
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    assert made.code == 0, made.talk
    rows = pairs()
    assert {texts(row) for row in rows} == {(FOUR[0], FOUR[2]), (FOUR[0], FOUR[3])}
    assert {row["weight"] for row in rows} == {1 / 3}
    assert figures(rows[0])[figure] == 1


def test_one_whole_answer_is_nothing_to_compare(serve):
    ward = Ward(serve, lambda body: cut_off("嗯") if body["seed"] else FOUR[0])
    made = rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags)
    assert made.said["rejected"] == {"too few answers": 1}


def test_the_doctors_own_answer_can_stand_among_them(serve):
    ward = Ward(serve, marks={PRESSURE[1]: 9})
    rank("--data", toyhom("answers.csv", [PRESSURE]), *ward.flags, "--with-reference", "--answers", 2)
    rows = pairs()
    assert {(row["better"]["writer"], row["better"]["model"], row["origin"]) for row in rows} == {
        ("doctor", "", "real")
    }
    assert {texts(row) for row in rows} == {(PRESSURE[1], FOUR[0]), (PRESSURE[1], FOUR[1])}


# ------------------------------------------------------------------ what is asked


def test_the_policy_hears_the_conversation_and_no_other_word(serve):
    said = [("system", "你是医生。"), ("user", "胃疼"), ("assistant", "多久了？"), ("user", "三天，饭后加重")]
    ward = Ward(serve, marks={FOUR[0]: 8})
    rank("--data", talks([*said, ("assistant", "考虑胃炎，先做胃镜检查。")]), *ward.flags, "--temperature", 0.9)
    expected = [{"role": role, "content": text} for role, text in said]
    assert [body["messages"] for body in ward.policy] == [expected] * 4
    assert [(body["temperature"], body["seed"]) for body in ward.policy] == [(0.9, sample) for sample in range(4)]
    assert {body["temperature"] for body in ward.judge} == {0.0}
    (row, *_) = pairs()
    assert (row["prompt"], row["form"], row["reference"]) == (expected, "conversation", "考虑胃炎，先做胃镜检查。")


def test_goodbyes_are_not_ranked():
    source = cmdd("visits", [("患：宝宝发烧38.5℃，一天了", "医：口服布洛芬混悬液", "患：好的，谢谢医生", "医：不客气")])
    rank("--data", source, *REHEARSED)
    (row, *_) = pairs()
    assert [said["content"] for said in row["prompt"]] == ["宝宝发烧38.5℃，一天了"]
    assert row["reference"] == "口服布洛芬混悬液"


def test_private_things_are_masked_before_anybody_hears_them(serve):
    ward = Ward(serve, marks={FOUR[0]: 8})
    question = "胃疼三天，我的电话13800138000，请回电"
    rank("--data", toyhom("answers.csv", [(question, "我叫王建国，先做胃镜，电话13900139000")]), *ward.flags)
    heard = json.dumps([ward.policy, ward.judge], ensure_ascii=False)
    assert "13800138000" not in heard
    assert "13900139000" not in heard
    assert pairs()[0]["prompt"][0]["content"] == "胃疼三天，我的电话[电话1]，请回电"


def test_the_same_question_is_asked_once(serve):
    ward = Ward(serve, marks={FOUR[0]: 8})
    source = toyhom("answers.csv", [PRESSURE, (PRESSURE[0], "血压高就少吃盐，注意休息。")])
    assert rank("--data", source, *ward.flags).said["rejected"] == {"prompt repeated": 1}
    assert len(ward.policy) == 4


# ------------------------------------------------------------------ where prompts come from


def test_a_release_hands_on_where_its_rows_come_from(serve):
    build("polish_qa", toyhom("answers.csv", many(12)), "--teacher", "rehearsal", "--out", "polished")
    before = {
        row["key"]: (row, Path(file).name.split("-")[0])
        for file in sorted(map(str, Path("polished/polished_qa").glob("*.parquet")))
        for row in polars.read_parquet(file).to_dicts()
    }
    ward = Ward(serve, marks={FOUR[0]: 8})
    rank("--data", "polished:polished_qa", *ward.flags)
    rows = {row["group"]: row for row in pairs()}
    assert set(rows) == {key for key, (_, split) in before.items() if split == "train"}
    for key, row in rows.items():
        old, made = before[key][0], row["provenance"]
        assert (row["reference"], row["department"]) == (old["answer"], old["department"])
        assert (made["parents"], made["source"], made["source_license"]) == ([old["id"]], "toyhom", "MIT")
        assert made["rehearsal"]  # its question's reference is rehearsed, whoever answered
    everything = rank("--data", "polished", *ward.flags, "--split", "all", "--out", "all")
    assert {row["group"] for row in pairs("all")} == set(before), everything.talk


def test_of_files_named_after_splits_the_training_rows_are_asked(serve):
    Path("talks").mkdir()
    for split, text in (("train", "胃疼怎么办"), ("test", "头疼怎么办")):
        talks([("user", text), ("assistant", "多休息，少熬夜，按时吃饭。")], name=f"talks/{split}.jsonl")
    ward = Ward(serve, marks={FOUR[0]: 8})
    rank("--data", "talks", *ward.flags)
    assert {body["messages"][0]["content"] for body in ward.policy} == {"胃疼怎么办"}


@pytest.mark.parametrize(
    ("flags", "talk"),
    [
        ((), "--data: name the rows"),
        (("--data", "nothing.csv"), "nothing.csv: no such file or folder"),
        (("--data", "polished:instructions"), "--data polished: no config 'instructions'; it has polished_qa"),
        (("--data", "answers.csv", "--rubric", "kind"), "no rubric is called 'kind'; known are huatuo, zhongjing"),
        (("--data", "answers.csv", "--answers", 1), "--answers: "),
        (("--data", "tests", "--split", "train"), "--data tests: no rows in the split 'train'; it has test"),
    ],
)
def test_bad_input_is_one_line(flags, talk):
    toyhom("answers.csv", [PRESSURE])
    Path("tests").mkdir()
    talks([("user", "胃疼怎么办"), ("assistant", "多休息。")], name="tests/test.jsonl")
    if "polished:instructions" in flags:
        build("polish_qa", toyhom("answers.csv", many(3)), "--teacher", "rehearsal", "--out", "polished")
    ended = rank(*flags, *REHEARSED)
    assert ended.code == 2
    assert talk in ended.talk
    assert ended.talk.strip().count("\n") == 0


# ------------------------------------------------------------------ the release


def test_all_pairs_of_a_prompt_are_in_one_split():
    rank("--data", toyhom("answers.csv", many(40)), *REHEARSED)
    files = {file.name.split("-")[0]: file for file in Path("set/preferences").glob("*.parquet")}
    held = {split: set(polars.read_parquet(file)["group"]) for split, file in files.items()}
    assert len(held) > 1
    assert sum(map(len, held.values())) == len(set.union(*held.values()))
    assert len(pairs()) > 40  # several pairs a prompt


def test_a_reward_trainer_finds_the_columns_it_reads(serve):
    rank("--data", toyhom("answers.csv", [PRESSURE]), *Ward(serve, marks={FOUR[0]: 8}).flags)
    rows = datasets.load_dataset("set", "preferences", split="train")
    said = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    assert {name: rows.features[name] for name in ("prompt", "chosen", "rejected")} == dict.fromkeys(
        ("prompt", "chosen", "rejected"), said
    )
    assert rows.features["margin"] == rows.features["weight"] == datasets.Value("float64")
    assert [[one["role"] for one in rows[0][name]] for name in ("prompt", "chosen", "rejected")] == [
        ["user"],
        ["assistant"],
        ["assistant"],
    ]


def test_rows_counts_prompts_and_concurrency_changes_no_byte():
    source = toyhom("answers.csv", many(30))
    for at_once in (1, 50):
        flags = ("--rows", 8, "--at-once", at_once, "--ledger", f"{at_once}.db", "--out", f"set{at_once}")
        assert rank("--data", source, *REHEARSED, *flags).said["calls"] == 8 * (4 + 2)
    assert files_of(Path("set1")) == files_of(Path("set50"))
    assert len({row["group"] for row in pairs("set1")}) == 8


def test_a_second_run_asks_nothing_and_leaves_every_byte():
    source = toyhom("answers.csv", many(6))
    first = rank("--data", source, *REHEARSED)
    before = files_of(Path("set"))
    again = rank("--data", source, *REHEARSED)
    assert (again.said["calls"], again.said["from_ledger"]) == (0, first.said["calls"])
    assert files_of(Path("set")) == before


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes():
    source = toyhom("answers.csv", many(20))
    rank("--data", source, *REHEARSED, "--ledger", "whole.db", "--out", "whole")
    stopped = rank("--data", source, *REHEARSED, "--at-once", 2, "--max-total-tokens", 40_000)
    assert stopped.code == 4, stopped.talk
    assert 0 < stopped.said["calls"] < 120
    resumed = rank("--data", source, *REHEARSED)
    assert resumed.said["calls"] == 120 - stopped.said["calls"]
    assert files_of(Path("set")) == files_of(Path("whole"))


def test_the_plan_counts_k_answers_and_two_readings_a_prompt():
    planned = rank("--data", toyhom("answers.csv", many(20)), *REHEARSED, "--dry-run", "--answers", 5)
    assert planned.said["calls"] == 20 * (5 + 2)
    assert not Path("set").exists()


def test_another_margin_asks_nothing_anew(serve):
    ward = Ward(serve, marks=dict(zip(FOUR, (9, 7, 7.2, 3), strict=True)))
    source = toyhom("answers.csv", [PRESSURE])
    rank("--data", source, *ward.flags)
    again = rank("--data", source, *ward.flags, "--margin", 2.5)
    assert (again.said["calls"], again.said["rows"]) == (0, 3)  # 9, 7 and 7.2 above 3


def test_rehearsed_pairs_stay_here():
    ended = rank("--data", toyhom("answers.csv", many(3)), *REHEARSED, "--push", "a/b", "--license", "cc-by-4.0")
    assert ended.code == 2
    assert "--push: --policy is the rehearsal" in ended.talk


def test_real_questions_end_as_pairs_or_with_a_reason(shared_data):
    (source,) = (shared_data / "toyhom_zh_qa").glob("*.csv")
    made = rank("--data", source, *REHEARSED, "--rows", 25)
    assert made.code == 0, made.talk
    seen = {row["group"] for row in pairs()} | {one["key"] for one in rejected()}
    assert seen == {f"toyhom/{source.name}:{number}" for number in range(1, len(seen) + 1)}
    assert all(row["better"]["rank"] < row["worse"]["rank"] for row in pairs())
    assert "licence MIT" in Path("set/README.md").read_text()
