"""What is written for another trainer says what the rows say, and reads back as the same turns."""

import contextlib
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import convert_tasks, export
from builders.sources.known import detect, read_consultations
from schemas.settings import run_command

SCRATCH = Path("scratch")
TWO_TURNS = [
    ("user", "胃疼三天了。"),
    ("assistant", "饭前还是饭后疼？"),
    ("user", "饭前。"),
    ("assistant", "先查幽门螺杆菌。"),
]
ONE_TURN = [("system", "你是医生。"), ("user", "落枕怎么办？"), ("assistant", "热敷。\n少转头。")]
NO_ANSWER = [("user", "在吗？"), ("user", "孩子发烧了。")]


def call(command, main, *arguments):
    out, talk = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(command, main, [str(argument) for argument in arguments])
    return outcome(ended.value.code, talk.getvalue(), out.getvalue())


def exported(*arguments):
    return call(export.Export, export.main, *arguments)


def table(*dialogues, name="rows.parquet"):
    said = [[{"role": role, "content": text} for role, text in dialogue] for dialogue in dialogues]
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    ids = [f"row-{number}" for number in range(len(said))]
    pq.write_table(pa.table({"id": ids, "messages": pa.array(said, kind), "other": ids}), name)
    return name


def rows_of(name):
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


def test_alpaca_has_the_turns_before_the_last_as_history():
    ended = exported(table(TWO_TURNS, ONE_TURN), "--format", "alpaca", "--out", "a.jsonl")
    assert ended.said == {"rows": 2, "path": "a.jsonl", "format": "alpaca", "left_out": {}}
    assert rows_of("a.jsonl") == [
        {
            "id": "row-0",
            "instruction": "饭前。",
            "input": "",
            "output": "先查幽门螺杆菌。",
            "history": [["胃疼三天了。", "饭前还是饭后疼？"]],
        },
        {
            "id": "row-1",
            "instruction": "落枕怎么办？",
            "input": "",
            "output": "热敷。\n少转头。",
            "history": [],
            "system": "你是医生。",
        },
    ]


@pytest.mark.parametrize(
    ("format", "row"),
    [
        (
            "sharegpt",
            {
                "id": "row-0",
                "conversations": [
                    {"from": "system", "value": "你是医生。"},
                    {"from": "human", "value": "落枕怎么办？"},
                    {"from": "gpt", "value": "热敷。\n少转头。"},
                ],
            },
        ),
        (
            "disc",
            {
                "_id": "row-0",
                "conversation": [
                    {"role": "system", "content": "你是医生。"},
                    {"role": "user", "content": "落枕怎么办？"},
                    {"role": "assistant", "content": "热敷。\n少转头。"},
                ],
            },
        ),
        (
            "messages",
            {"id": "row-0", "messages": [{"role": role, "content": text} for role, text in ONE_TURN]},
        ),
    ],
)
def test_the_other_layouts_are_those_of_their_trainers(format, row):
    exported(table(ONE_TURN), "--format", format, "--out", "x.jsonl")
    assert rows_of("x.jsonl") == [row]


SPOKEN = st.text(min_size=1).filter(lambda text: not text.isspace())
PAIRS = st.lists(st.tuples(SPOKEN, SPOKEN), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dialogues=st.lists(st.tuples(st.none() | SPOKEN, PAIRS), min_size=1, max_size=3), data=st.data())
def test_what_is_exported_reads_back_as_the_same_turns(dialogues, data):
    format = data.draw(st.sampled_from(["alpaca", "sharegpt", "disc", "messages"]))
    written = [
        [("system", system)] * (system is not None)
        + [said for pair in pairs for said in zip(("user", "assistant"), pair, strict=True)]
        for system, pairs in dialogues
    ]
    assert exported(table(*written), "--format", format, "--out", "x.jsonl", "--force").code == 0
    assert detect(["x.jsonl"]) == format
    sides = {"system": "system", "patient": "user", "doctor": "assistant"}
    reads = list(read_consultations(["x.jsonl"], format, SCRATCH))
    assert [[(sides[said.speaker], said.text) for said in read.row.utterances] for read in reads] == written
    assert [read.key for read in reads] == [f"{format}/row-{number}" for number in range(len(written))]


def test_rows_that_alpaca_cannot_hold_are_counted_and_kept_beside_the_file():
    ended = exported(table(TWO_TURNS, NO_ANSWER), "--format", "alpaca", "--out", "a.jsonl")
    assert ended.said["rows"] == 1
    assert ended.said["left_out"] == {"turns do not alternate from user to assistant": 1}
    assert "1 left out: turns do not alternate from user to assistant" in ended.talk
    (apart,) = rows_of("a.left_out.jsonl")
    assert apart["place"] == "rows.parquet: row 2"
    assert "孩子发烧了。" in apart["raw"]
    assert exported("rows.parquet", "--format", "sharegpt", "--out", "s.jsonl").said["rows"] == 2


def test_an_existing_file_is_left_alone_unless_force_is_given():
    source = table(ONE_TURN)
    Path("mine.jsonl").write_text("mine\n")
    refused = exported(source, "--format", "messages", "--out", "mine.jsonl")
    assert refused.code == 2
    assert "mine.jsonl is there already; --force replaces it" in refused.talk
    assert Path("mine.jsonl").read_text() == "mine\n"
    assert exported(source, "--format", "messages", "--out", "mine.jsonl", "--force").said["rows"] == 1
    assert sorted(path.name for path in Path().iterdir()) == ["mine.jsonl", "rows.parquet"]


def test_a_file_that_is_beside_the_output_and_not_ours_is_left_alone_too():
    Path("a.left_out.jsonl").write_text("mine\n")
    assert exported(table(ONE_TURN), "--format", "alpaca", "--out", "a.jsonl").code == 2
    assert Path("a.left_out.jsonl").read_text() == "mine\n"


def test_when_no_row_can_be_written_nothing_is():
    ended = exported(table(NO_ANSWER), "--format", "alpaca", "--out", "a.jsonl")
    assert ended.code == 2
    assert "no row can be written as alpaca: turns do not alternate from user to assistant (1)" in ended.talk
    assert sorted(path.name for path in Path().iterdir()) == ["rows.parquet"]


def test_a_table_without_messages_is_bad_input():
    pq.write_table(pa.table({"question": ["?"]}), "q.parquet")
    ended = exported("q.parquet", "--format", "alpaca", "--out", "a.jsonl")
    assert ended.code == 2
    assert "q.parquet: no column messages; there are question" in ended.talk


@pytest.fixture
def release():
    made = call(
        convert_tasks.ConvertTasks, convert_tasks.main,
        "--task", "self_cognition", "--name", "素问", "--maker", "某某实验室", "--out", "release",
    )  # fmt: skip
    assert made.code == 0, made.talk
    return {path.name.split("-")[0]: pq.read_table(path) for path in Path("release/converted_tasks").glob("*.parquet")}


def test_of_a_release_the_training_split_is_written_and_all_of_it_on_request(release):
    train = release["train"].num_rows
    everything = sum(split.num_rows for split in release.values())
    assert exported("release", "--format", "alpaca", "--out", "t.jsonl").said["rows"] == train < everything
    assert exported("release", "--format", "alpaca", "--out", "all.jsonl", "--split", "all").said["rows"] == everything
    assert {row["id"] for row in rows_of("t.jsonl")} == set(release["train"]["id"].to_pylist())


def test_a_config_or_split_that_is_not_there_is_bad_input(release):
    ended = exported("release", "--format", "alpaca", "--out", "t.jsonl", "--config", "polished_qa")
    assert (ended.code, ended.talk.strip().splitlines()[-1]) == (
        2,
        "export: --config polished_qa: release has no such config; it has converted_tasks",
    )
    ended = exported("release", "--format", "alpaca", "--out", "t.jsonl", "--split", "dev")
    assert "no rows with messages in the split 'dev'; splits are test, train, validation" in ended.talk
    ended = exported(table(ONE_TURN), "--format", "alpaca", "--out", "t.jsonl", "--config", "x")
    assert "--config: rows.parquet is no release" in ended.talk
