"""The text of a row is the one `--text` and `--granularity` name, for every shape that real data sets have."""

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.sources.tables import open_tables
from builders.sources.texts import text_of
from schemas.settings import InputError

TURNS = [
    [("system", "你是医生"), ("user", "头疼"), ("assistant", "多久了？"), ("user", "三天"), ("assistant", "多休息")],
    [("assistant", "您好"), ("user", "咳嗽")],
    [("system", "你是医生")],
    [],
    None,
]
FIRST = ["头疼", "咳嗽", "", "", ""]
ANSWER = ["多久了？\n多休息", "您好", "", "", ""]
DIALOGUE = ["头疼\n多久了？\n三天\n多休息", "您好\n咳嗽", "", "", ""]


def texts(text: str, column: object, granularity: str = "text", name: str = "q") -> list[str]:
    """Texts of a table of one column."""
    batch = pa.record_batch({name: column if isinstance(column, pa.Array) else pa.array(column)})
    return told(text, batch, granularity)


def told(text: str, batch: pa.RecordBatch, granularity: str = "text") -> list[str]:
    of = text_of(text, granularity, batch.schema, "a.jsonl")
    found = of(batch.select(of.columns))
    found.validate(full=True)
    assert found.type == pa.large_string()
    assert found.null_count == 0
    return found.to_pylist()


def refusal(text: str, column: object, granularity: str = "text", name: str = "q") -> str:
    with pytest.raises(InputError) as wrong:
        texts(text, column, granularity, name)
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def turns(role: str = "role", content: str = "content") -> list[list[dict[str, str]] | None]:
    return [dialogue and [{role: who, content: said} for who, said in dialogue] for dialogue in TURNS]


# --- columns


@pytest.mark.parametrize(
    "type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()), pa.binary()],
    ids=str,
)
def test_a_column_of_text_is_the_text_however_it_is_laid_out(type):
    assert texts("q", pa.array(["头疼", None, ""], pa.string()).cast(type)) == ["头疼", "", ""]


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ([1, None], ["1", ""]),
        ([0.5, 2.0], ["0.5", "2"]),
        ([True, False], ["true", "false"]),
        (pa.array([18262], pa.date32()), ["2020-01-01"]),
        (pa.array([None, None]), ["", ""]),
        (pa.array([b"a\xff", None]), ["a\ufffd", ""]),
    ],
    ids=str,
)
def test_what_is_no_text_is_written_as_one(column, read):
    assert texts("q", column) == read


def test_a_slice_of_a_batch_has_the_texts_of_its_rows():
    batch = pa.record_batch({"q": turns(), "s": [{"x": [str(number)]} for number in range(5)]}).slice(1, 3)
    assert told("q", batch, "first-turn") == FIRST[1:4]
    assert told("q", batch, "answer") == ANSWER[1:4]
    assert told("s.x.0", batch) == ["1", "2", "3"]


def test_a_list_of_one_text_is_that_text():
    assert texts("q", [["做了手术"], [], None, [None]]) == ["做了手术", "", "", ""]
    assert refusal("q", [["头疼"], ["头疼", "多休息"]]) == (
        "a.jsonl: --text q: a list of up to 2 texts: choose --granularity first-turn, answer or dialogue, if patient and"
        " doctor take turns in it, or name one of them by its number, after a dot"
    )


def test_it_can_be_sent_to_another_process():
    batch = pa.record_batch({"a": ["头疼"], "b": ["三天"]})
    of = pickle.loads(pickle.dumps(text_of("{a}，{b}", "text", batch.schema, "a.jsonl")))
    assert of.columns == ("a", "b")
    assert of(batch).to_pylist() == ["头疼，三天"]


# --- paths


def test_a_path_goes_into_objects_and_lists():
    column = [{"m": [{"c": "一"}, {"c": "二"}]}, {"m": [{"c": "三"}]}, {"m": []}, {"m": None}, None]
    assert texts("q.m.0.c", column) == ["一", "三", "", "", ""]
    assert texts("q.m.-1.c", column) == ["二", "三", "", "", ""]
    assert texts("q.m.1.c", column) == ["二", "", "", "", ""]
    assert texts("q.m.-2.c", column) == ["一", "", "", "", ""]


def test_what_an_object_that_is_null_holds_underneath_is_not_read():
    inner = pa.array(["hidden", "seen"])
    column = pa.StructArray.from_arrays([inner], ["a"], mask=pa.array([True, False]))
    assert texts("q.a", column) == ["", "seen"]
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2]), inner, mask=pa.array([True, False]))
    assert texts("q.0", lists) == ["", "seen"]
    assert texts("q", lists, "first-turn") == ["", "seen"]


@pytest.mark.parametrize(
    "type", [pa.list_view(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 2)], ids=str
)
def test_lists_are_lists_however_they_are_laid_out(type):
    column = pa.array([["头疼", "多休息"], None], type)
    assert texts("q.1", column) == ["多休息", ""]
    assert texts("q", column, "answer") == ["多休息", ""]


def test_a_name_with_dots_is_a_name_before_it_is_a_path():
    batch = pa.record_batch({"a.b": ["name"], "a": [{"b": "path", "c.d": {"e": "inner"}}]})
    assert told("a.b", batch) == ["name"]
    assert told("a.c.d.e", batch) == ["inner"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("anser", "a.jsonl: --text anser: no column 'anser'; did you mean answer?; there are: answer, data, turns, n"),
        ("zzz", "a.jsonl: --text zzz: no column 'zzz'; there are: answer, data, turns, n"),
        ("data.qestion", "a.jsonl: --text data.qestion: no 'qestion' in data; did you mean data.question?; there are: id, question"),
        ("answer.x", "a.jsonl: --text answer.x: answer is string, and nothing is inside it"),
        ("turns.content", "a.jsonl: --text turns.content: turns is a list; name one element by its number, e.g. turns.0.content"),
        ("data", "a.jsonl: --text data: data is struct<id: int64, question: string>, no text; name a text inside, e.g. data.question"),
        ("n", "a.jsonl: --text n: n is list<item: int64>, no text; name a text inside, e.g. n.0"),
        ("turns", "a.jsonl: --text turns: the column is a list of turns: choose --granularity first-turn, answer or dialogue; name a text inside, e.g. turns.0.content"),
        ("{answer", "a.jsonl: --text {answer: a brace that is not closed; {{ and }} stand for braces themselves"),
        ("answer}{n}", "a.jsonl: --text answer}{n}: a brace that is not closed; {{ and }} stand for braces themselves"),
        ("{{answer}}", "a.jsonl: --text {{answer}}: a template without a column; expected e.g. {question}"),
        ("{anser}!", "a.jsonl: --text {anser}!: no column 'anser'; did you mean answer?; there are: answer, data, turns, n"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_with_the_closest_one(text, says):
    schema = pa.schema(
        [
            ("answer", pa.string()),
            ("data", pa.struct([("id", pa.int64()), ("question", pa.string())])),
            ("turns", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
            ("n", pa.list_(pa.int64())),
        ]
    )
    with pytest.raises(InputError) as wrong:
        text_of(text, "text", schema, "a.jsonl")
    assert str(wrong.value) == says


# --- templates


def test_a_template_joins_columns_and_paths():
    batch = pa.record_batch({"q": ["头疼", None], "d": [{"a": "三天"}, {"a": "一周"}], "one": [["x"], []], "n": [1, 2]})
    assert told(r"{q}\n{d.a}", batch) == ["头疼\n三天", "\n一周"]
    assert told("{{{q}}}: {n}", batch) == ["{头疼}: 1", "{}: 2"]
    assert told("{one}{one}", batch) == ["xx", ""]
    assert text_of("{q}{d.a}{q}", "text", batch.schema, "").columns == ("q", "d")


def test_a_column_whose_name_looks_like_a_template_is_a_column():
    assert texts("{q}", ["text"], name="{q}") == ["text"]


# --- dialogues


@pytest.mark.parametrize("granularity", ["first-turn", "answer", "dialogue"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array(turns()),
        pa.array(turns("from", "value")),
        pa.array(turns("speaker", "utterance")).cast(
            pa.large_list(
                pa.struct([("speaker", pa.dictionary(pa.int8(), pa.string())), ("utterance", pa.large_string())])
            )
        ),
        pa.array([json.dumps(dialogue, ensure_ascii=False) for dialogue in turns("participant", "text")]),
        pa.array(
            [
                {"role": [who for who, _ in dialogue or ()], "content": [said for _, said in dialogue or ()]}
                for dialogue in TURNS
            ]
        ),
    ],
    ids=["objects", "sharegpt", "laid out otherwise", "json", "beside"],
)
def test_each_side_of_a_dialogue_can_be_taken(column, granularity):
    expected = {"first-turn": FIRST, "answer": ANSWER, "dialogue": DIALOGUE}[granularity]
    assert texts("q", column, granularity) == expected
    assert texts("d.q", [{"q": value} for value in column.to_pylist()], granularity, name="d") == expected


@pytest.mark.parametrize("as_json", [False, True])
def test_of_a_list_of_texts_the_patient_has_the_first(as_json):
    lists = [["头疼", "多久了？", "三天"], ["咳嗽"], [], None]
    column = [json.dumps(value, ensure_ascii=False) for value in lists] if as_json else lists
    assert texts("q", column, "first-turn") == ["头疼", "咳嗽", "", ""]
    assert texts("q", column, "answer") == ["多久了？", "", "", ""]
    assert texts("q", column, "dialogue") == ["头疼\n多久了？\n三天", "咳嗽", "", ""]


@pytest.mark.parametrize(
    "patient", ["user", "Human", "PATIENT", "client", "seeker", "usr", "患者", "病人：", "用户", "问"]
)
@pytest.mark.parametrize(
    "doctor", ["assistant", "gpt", "Doctor", "counselor", "supporter", "bot", "sys", "医生", "护士长"]
)
def test_roles_are_known_by_their_usual_names(patient, doctor):
    dialogue = [{"role": who, "content": said} for who, said in [(doctor, "您好"), (patient, "头疼"), ("System", "x")]]
    assert texts("q", [dialogue], "first-turn") == ["头疼"]
    assert texts("q", [dialogue], "answer") == ["您好"]
    assert texts("q", [dialogue], "dialogue") == ["您好\n头疼"]


def test_turns_without_content_are_left_out_and_those_without_a_role_answer():
    dialogue = [
        {"role": "user", "content": "头疼"},
        {"role": "user", "content": None},
        None,
        {"role": None, "content": "休息"},
    ]
    assert texts("q", [dialogue], "answer") == ["休息"]
    assert texts("q", [dialogue], "dialogue") == ["头疼\n休息"]


def test_roles_that_tell_no_patient_are_refused_unless_all_is_wanted():
    dialogue = [{"role": "张三", "content": "您好"}, {"role": "李四", "content": "头疼"}]
    assert refusal("q", [dialogue], "first-turn") == (
        "a.jsonl: --text q: who is the patient? No role in it is one we know: 张三, 李四"
    )
    assert texts("q", [dialogue], "dialogue") == ["您好\n头疼"]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (["头疼", None, ""], "a.jsonl: --text q: plain text, not a list of turns; use --granularity text"),
        (["3", '{"role": "user"}'], "a.jsonl: --text q: plain text, not a list of turns; use --granularity text"),
        ([1], "a.jsonl: --text q: q is int64, no list of turns"),
        ([[{"a": "x"}]], "a.jsonl: --text q: q is list<item: struct<a: string>>, no list of turns; name a text inside, e.g. q.0.a"),
    ],
)  # fmt: skip
def test_what_is_no_dialogue_has_no_side(column, says):
    assert refusal("q", column, "answer") == says


def test_a_plain_text_among_dialogues_is_what_the_patient_says():
    column = [json.dumps(["头疼", "多休息"]), "咳嗽怎么办"]
    assert texts("q", column, "first-turn") == ["头疼", "咳嗽怎么办"]
    assert texts("q", column, "answer") == ["多休息", ""]


def test_a_granularity_is_one_of_four_and_not_of_a_template():
    assert (
        refusal("q", ["x"], "turn") == "a.jsonl: --granularity turn: expected one of text, first-turn, answer, dialogue"
    )
    assert refusal("{q}", [["x"]], "answer") == (
        "a.jsonl: --text {q}: --granularity answer is of one column; a template is read as text"
    )


def test_a_million_turns_take_well_under_a_second():
    said = pa.array([f"我头疼{number}天了，怎么办" for number in range(1000)])
    who = pa.array(["patient", "doctor"])
    numbers = np.arange(1_000_000)
    flat = pa.StructArray.from_arrays(
        [who.take(pa.array(numbers % 2)), said.take(pa.array(numbers % 1000))], ["role", "content"]
    )
    batch = pa.record_batch({"q": pa.ListArray.from_arrays(pa.array(np.arange(0, 1_000_001, 10), pa.int32()), flat)})
    for granularity in ("first-turn", "answer", "dialogue"):
        of = text_of("q", granularity, batch.schema, "a.jsonl")
        started = time.perf_counter()
        found = of(batch)
        assert time.perf_counter() - started < 1
        assert len(found) == 100_000


# --- real data


@pytest.mark.parametrize(
    ("path", "text", "granularity", "count", "first"),
    [
        ("smile", "dialogue", "first-turn", 2000, "高三后的迷茫，高考前的恐惧，能给我一些建议么？"),
        ("disc_medllm_gpt35/gpt-3.5-turbo_cmid.json", "conversation", "first-turn", None, "你好，我想咨询一下，我小便时有疼痛感，请问是怎么回事？"),
        ("ai_hospital/dialog_history_gpt3.jsonl", "dialog_history", "dialogue", 506, "您好，有哪里不舒服？"),
        ("chineseblue_cmdd_dev", "dialogue-content", "answer", 413, "您好"),
        ("chineseblue_cmdd_dev", "dialogue-content", "first-turn", 413, "嗯"),
        ("medicalgpt_sample/medical_sft_1K_format.jsonl", "conversations.0.value", "text", 1000, "治疗阳痿吃什么药呢？"),
        ("bentsao", r"{instruction}\n{input}", "text", 8658, "一名年龄在70岁的女性"),
        ("huatuo26m_test_first2000", "instruction", "text", 2000, "做了腰间盘穿丁手术后，用盐泡脚可以吗"),
        ("toyhom_zh_qa", "ask", "text", 4000, "我有高血压这两天女婿来的时候给我拿了些党参泡水喝"),
        ("seed_tasks", "instances.0.output", "text", 517, "Yes, you can have 1 oatmeal banana protein shake"),
    ],
)  # fmt: skip
def test_real_data_gives_a_text_in_every_row(shared_data, path, text, granularity, count, first):
    (table,) = open_tables([str(shared_data / path)], Path("scratch"))
    of = text_of(text, granularity, table.schema, table.name)
    found = [text for batch in table.batches(of.columns) for text in of(batch).to_pylist()]
    assert len(found) == table.rows == (count or table.rows)
    assert found[0].startswith(first)
    assert sum(map(bool, found)) > 0.6 * len(found)
    assert table.rejected is None
