"""Rows as they really come: other encodings, broken lines, mixed types, damaged files; nothing is lost without a word."""

import csv
import gzip
import io
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from hub_repos import Repo
from hub_server import client_env, running_hub
from hypothesis import given, settings
from hypothesis import strategies as some
from tables import SCRATCH, damage, lines, opened, refusal, rejected, rows, written, zst

# --- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_chinese_is_read_in_every_usual_encoding(name, encoding, capsys):
    said = [{"问": "头疼怎么办？", "答": "多休息，㐀"}] * 50
    table = "问,答\n" + "头疼怎么办？,多休息，㐀\n" * 50
    text = {"a.csv": table, "a.jsonl": lines(*said), "a.json": json.dumps(said, ensure_ascii=False)}[name]
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert rows(opened(written(name, (mark + text).encode(encoding)))) == said
    assert capsys.readouterr().err == (f"{name}: not UTF-8; read as GB18030\n" if encoding == "gb18030" else "")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_few_broken_bytes_do_not_make_utf8_another_encoding(name, capsys):
    good = ("q\n" + "头疼\n" * 200) if name == "a.csv" else lines({"q": "头疼"}) * 200
    broken = b"\xff\xe5\xa4\n" if name == "a.csv" else b'{"q": "\xff\xe5\xa4"}\n'
    texts = [row["q"] for row in rows(opened(written(name, good.encode() + broken)))]
    assert texts == ["头疼"] * 200 + ["\ufffd\ufffd"]
    assert capsys.readouterr().err == (
        f"{name}: 3 of 1203 non-ASCII bytes are not UTF-8; read as UTF-8, with U+FFFD in their place\n"
    )


def test_a_text_cut_within_a_character_is_still_utf8(capsys):
    assert rows(opened(written("a.csv", "q\n头疼".encode()[:-1]))) == [{"q": "头\ufffd"}]
    assert "read as UTF-8, with U+FFFD" in capsys.readouterr().err


def test_text_in_another_encoding_is_refused_rather_than_garbled():
    assert refusal(written("a.csv", "q\ncafé, à la naïveté\n".encode("latin-1") * 20)) == (
        "a.csv: neither UTF-8 nor GB18030 text; convert it to UTF-8"
    )


def test_the_gb18030_csv_of_toyhom_is_read_whole(shared_data):
    path = next((shared_data / "toyhom_zh_qa").glob("*.csv"))
    expected = list(csv.DictReader(io.StringIO(path.read_text(encoding="gb18030"), newline="")))
    assert rows(opened(path)) == expected
    assert opened(path).rejected is None


# --- lines that are no rows, and rows that are odd


def test_what_is_no_object_is_kept_with_its_reason():
    bad = ["{'q': 1}", "[1, 2]", "null", "7", '"text"', '{"q": 1} {"q": 2}', "[" * 100_000, "true"]
    table = opened(written("a.jsonl", lines({"q": 1}, *bad, "   ", {"q": 2})))
    assert rows(table) == [{"q": 1}, {"q": 2}]
    kept = rejected(table)
    assert [one["place"] for one in kept] == [f"a.jsonl: line {number}" for number in range(2, 10)]
    assert [one["raw"] for one in kept] == bad
    assert [one["reason"] for one in kept] == [
        "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "not a JSON object but a list",
        "not a JSON object but null",
        "not a JSON object but a number",
        "not a JSON object but a text",
        "not JSON: Extra data: line 1 column 10 (char 9)",
        "nested too deeply",
        "not a JSON object but true or false",
    ]


def test_rejected_rows_of_an_array_are_kept_too():
    table = opened(written("a.json", '[{"q": 1}, 2, {"q": 3}]'))
    assert rows(table) == [{"q": 1}, {"q": 3}]
    assert rejected(table) == [{"place": "a.json: item 2", "reason": "not a JSON object but a number", "raw": "2"}]


def test_rejected_rows_of_several_conversions_are_in_one_file():
    for number in (1, 2):
        written(f"set/{number}.jsonl", lines({"q": number}, f"oops {number}"))
        pq.write_table(pa.table({"q": [0]}), f"set/{number}.parquet")
    table = opened("set")
    assert [row["q"] for row in rows(table)] == [1, 0, 2, 0]
    assert [one["raw"] for one in rejected(table)] == ["oops 1", "oops 2"]


@pytest.mark.parametrize(
    ("written_as", "read_as"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"a\ude00b"', "a\ufffdb"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud83d"', "\\ud83d"),
        (r'"x\u0000y"', "x\0y"),
        ('"x\0y"', "x\0y"),
        ('"tab\tend"', "tab\tend"),
        ('"\u2028"', "\u2028"),
        ('"007"', "007"),
        ('"2020-01-01"', "2020-01-01"),
        ('"2020-01-01T00:00:00Z"', "2020-01-01T00:00:00Z"),
        (json.dumps("长" * 100_000), "长" * 100_000),
        ("9007199254740993", 9007199254740993),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", "9223372036854775808"),
        ("0.1", 0.1),
        ("1e400", math.inf),
        ('[null, {"b": 1}]', [None, {"b": 1}]),
        ("{}", None),
        ('[{"a": {}}]', [{"a": None}]),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("form", ["line", "array"])
def test_a_value_stays_what_it_is(written_as, read_as, form):
    row = f'{{"x": "", "q": {written_as}}}'
    table = opened(written("a.json", f"{row}\n" if form == "line" else f"[{row},\n{row}]"))
    assert [one["q"] for one in rows(table)] == [read_as] * (1 if form == "line" else 2)
    assert table.rejected is None


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([1, "x", None, [2, "y"], {"a": None, "b": 0.5}], ["1", "x", None, '[2, "y"]', '{"b": 0.5}']),
        ([["a"], "b"], ['["a"]', "b"]),
        ([True, 1], ["true", "1"]),
        ([1.5, True], ["1.5", "true"]),
        ([1, 2.5], [1.0, 2.5]),
        ([2**60, 1.5], ["1152921504606846976", "1.5"]),
        ([[1.5], [True]], ["[1.5]", "[true]"]),
        ([{"a": 1}, {"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
        ([{"a": 1}, {"b": [2]}], [{"a": 1, "b": None}, {"a": None, "b": [2]}]),
        ([[], [{"a": 1}], [{"b": 2}, None]], [[], [{"a": 1, "b": None}], [{"a": None, "b": 2}, None]]),
    ],
    ids=str,
)
@pytest.mark.parametrize("apart", [False, True], ids=["together", "in blocks of their own"])
def test_values_of_different_types_lose_nothing(values, read, apart, monkeypatch, capsys):
    if apart:
        monkeypatch.setattr("builders.sources.formats.conversion.ROW_GROUP", 1)
    table = opened(written("a.jsonl", lines(*({"q": value} for value in values))))
    assert [row["q"] for row in rows(table)] == read
    mixed = isinstance(read[0], str)
    said = "a.jsonl: the values of column q are of different types; it is kept as text, JSON where it was none\n"
    assert capsys.readouterr().err == (said if mixed else "")
    assert rows(table, start=1) == rows(table)[1:]


def test_columns_that_come_late_or_never_with_a_value_are_columns(monkeypatch):
    monkeypatch.setattr("builders.sources.formats.conversion.ROW_GROUP", 1)
    table = opened(written("a.jsonl", lines({}, {"a": 1}, {"b": "x"}, {"c": None})))
    assert rows(table) == [
        {"a": None, "b": None, "c": None},
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": "x", "c": None},
        {"a": None, "b": None, "c": None},
    ]


def test_objects_used_as_dictionaries_become_text():
    scores = {f"patient-{number}": number for number in range(1500)}
    table = opened(written("a.jsonl", lines({"q": "头疼", "scores": scores})))
    assert json.loads(rows(table)[0]["scores"]) == scores
    assert refusal(written("b.json", json.dumps({str(number): {"q": 1} for number in range(3000)}))) == (
        "b.json: more than 2,000 columns; expected one record a line, or an array of records"
    )


leaves = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=5)
values = some.recursive(
    leaves,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(some.lists(some.dictionaries(some.sampled_from("abc"), values), min_size=1, max_size=6), some.booleans())
def test_any_json_comes_back_as_it_was_but_for_nulls_and_empty_objects(given_rows, ascii_only):
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in [{"a": "first"}, *given_rows])
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    shutil.rmtree(SCRATCH, ignore_errors=True)  # files written within a tick of the clock look alike
    read = rows(opened(written("any.jsonl", text)))
    for row, one in zip((json.loads(line) for line in text.split("\n") if line), read, strict=True):
        for name in {*row, *one}:
            assert alike(row.get(name), one.get(name))


def alike(value: object, read: object) -> bool:
    """Equal, where a missing field, a null and an object with nothing in it are one; a text may be the JSON of the value."""
    if isinstance(read, str) and not isinstance(value, str):
        read = json.loads(read)
    if isinstance(value, dict) and isinstance(read, dict):
        return all(alike(value.get(name), read.get(name)) for name in {*value, *read})
    if isinstance(value, list) and isinstance(read, list):
        return len(value) == len(read) and all(map(alike, value, read))
    return (bare(value) is None and bare(read) is None) or (
        value == read and isinstance(value, bool) == isinstance(read, bool)
    )


def bare(value: object) -> object:
    if isinstance(value, dict):
        return None if all(bare(each) is None for each in value.values()) else value
    return value


# --- CSV


def test_a_csv_row_with_other_fields_than_the_header_is_rejected():
    table = opened(written("a.csv", 'q,a\n1,2\n3\n4,5,6\n\n"7\n8",9,10\n11,12\n'))
    assert rows(table) == [{"q": "1", "a": "2"}, {"q": "11", "a": "12"}]
    assert rejected(table) == [
        {"place": "a.csv: row 2", "reason": "1 fields where the header has 2", "raw": "3"},
        {"place": "a.csv: row 3", "reason": "3 fields where the header has 2", "raw": "4,5,6"},
        {"place": "a.csv: row 4", "reason": "3 fields where the header has 2", "raw": '"7\n8",9,10'},
    ]


def test_a_quote_that_is_not_closed_costs_one_line():
    table = opened(written("a.tsv", 'q\ta\n1\t"2\n3\t4\n5\t6\n7\t"8"\n"9\t10\n'))
    assert rows(table) == [{"q": "3", "a": "4"}, {"q": "5", "a": "6"}, {"q": "7", "a": "8"}]
    assert [(one["reason"], one["raw"]) for one in rejected(table)] == [
        ("a quote is not closed", '1\t"2'),
        ("a quote is not closed", '"9\t10'),
    ]


def test_a_csv_may_hold_a_header_alone():
    table = opened(written("a.csv", "q,a\n"))
    assert (table.rows, rows(table), table.schema.names) == (0, [], ["q", "a"])


def test_a_header_must_name_every_column_once():
    assert refusal(written("a.csv", "q,a,q\n1,2,3\n")) == "a.csv: header: two columns are named 'q'; rename one"


def test_a_field_may_be_long():
    assert rows(opened(written("a.csv", "q\n" + "长" * 200_000 + "\n"))) == [{"q": "长" * 200_000}]


# --- files that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b"", "a.jsonl: the file is empty"),
        ("a.csv", b"", "a.csv: the file is empty"),
        ("a.parquet", b"", "a.parquet: the file is empty"),
        ("a.jsonl", b"\n \n", "a.jsonl: the file holds no rows"),
        ("a.json", b"[]", "a.json: the file holds no rows"),
        ("a.csv", b"\n\n", "a.csv: the file holds no rows"),
        ("a.jsonl.gz", gzip.compress(b""), "a.jsonl.gz: the file holds no rows"),
        ("a.jsonl", b"{}\n{}\n", "a.jsonl: none of its 2 objects has anything in it"),
        ("a.jsonl", b"x\ny\n", "a.jsonl: none of its 2 rows can be read; line 1: not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("a.json", b'[{"q": 1},\n{"q": }]', "a.json: line 2: not JSON: Expecting value"),
        ("a.json", b'[{"q": 1},\n{"q": 2}', "a.json: line 2: not JSON: the array does not end"),
        ("a.json", b'[{"q": 1},\n{"q": 2}]\n{"q": 3}', "a.json: line 3: not JSON: something follows the array"),
        ("a.jsonl.gz", b"plain", "a.jsonl.gz: zlib inflate failed: incorrect header check"),
        ("a.jsonl.gz", gzip.compress(b'{"q": 1}\n' * 99)[:-9], "a.jsonl.gz: Truncated compressed stream"),
        ("a.txt", b"text", "a.txt: not a kind of file this reads: Parquet, JSON Lines (.jsonl, .ndjson, .json), CSV and TSV, the last three also as .gz or .zst"),
        ("set/a.txt", b"text", "set: no data files in this folder; read are Parquet, JSON Lines (.jsonl, .ndjson, .json), CSV and TSV, the last three also as .gz or .zst"),
    ],
)  # fmt: skip
def test_a_file_without_rows_or_that_is_broken_is_one_line(name, content, says):
    path = written(name, content)
    assert refusal(path.parent if name.startswith("set/") else path) == says
    assert not list(SCRATCH.glob("*"))


@pytest.mark.parametrize("name", ["nowhere", "nowhere/a.csv", "data/nowhere.jsonl", "./a/b", "a/b/c"])
def test_a_missing_file_is_one_line_and_not_looked_for_elsewhere(name):
    assert refusal(name) == f"{name}: no such file or folder"


@pytest.mark.parametrize("name", ["set", "set/a.jsonl"])
def test_what_may_not_be_read_is_one_line(name):
    written("set/a.jsonl", lines({"q": 1}))
    Path(name).chmod(0)
    if os.access(name, os.R_OK):
        pytest.skip("root may read everything")
    assert refusal("set") == f"{name}: Permission denied"
    Path(name).chmod(0o700)


def test_a_truncated_zst_is_one_line():
    written("a.jsonl.zst", zst(lines({"q": "头疼"}).encode() * 1000)[:-20])
    assert refusal("a.jsonl.zst").startswith("a.jsonl.zst: ")


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_parquet_damaged_anywhere_is_one_line_that_names_it(compression):
    texts = [f"第{number}位患者说头疼" for number in range(5000)]
    for share in (0, 0.3, 0.6, 0.97, 0.9999):
        pq.write_table(
            pa.table({"q": texts}), "a.parquet", compression=compression, row_group_size=500, use_dictionary=False
        )
        size = Path("a.parquet").stat().st_size
        damage("a.parquet", min(share, 1 - 17 / size))
        assert refusal("a.parquet").startswith("a.parquet: cannot be read as Parquet: "), share


def test_parquet_cut_short_and_parquet_that_is_none_are_one_line():
    pq.write_table(pa.table({"q": ["头疼"] * 1000}), "a.parquet")
    written("b.parquet", Path("a.parquet").read_bytes()[:-100])
    assert refusal("b.parquet").startswith("b.parquet: cannot be read as Parquet: ")
    assert refusal(written("c.parquet", lines({"q": 1}))).startswith("c.parquet: cannot be read as Parquet: ")


def test_two_columns_of_one_name_are_refused():
    pq.write_table(pa.table([[1], [2]], names=["q", "q"]), "a.parquet")
    assert refusal("a.parquet") == "a.parquet: two columns are named 'q'; rename one"


def test_parquet_without_rows_is_a_table_without_rows():
    pq.write_table(pa.table({"q": pa.array([], pa.string())}), "a.parquet")
    assert (opened("a.parquet").rows, rows(opened("a.parquet"))) == (0, [])


# --- the Hub


SCRIPT = """
import sys
from pathlib import Path
from builders.sources.tables import open_tables
from schemas.settings import InputError
try:
    (table,) = open_tables([sys.argv[1]], Path("scratch"))
    print([row["q"] for batch in table.batches() for row in batch.to_pylist()], table.place(0))
except InputError as wrong:
    print(wrong)
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("clinic/advice", "['2', '1', '3'] en/a.csv: row 1"),
        ("clinic/advice:zh", "[1, 3] a.jsonl: row 1"),
        ("clinic/advice@v1:zh", "[1] a.jsonl: row 1"),
        ("clinic/advice:fr", "clinic/advice: no data files on the Hub in a folder fr"),
        ("clinic/advice@v9", "clinic/advice: the data set on the Hub has no such revision: Invalid rev id: v9"),
        ("clinic/other", "clinic/other: no such file or folder, and no data set on the Hub of that name that this token, or none, may see"),
    ],
)  # fmt: skip
def test_a_data_set_on_the_hub_is_its_data_files(name, says, tmp_path):
    with running_hub() as hub:
        repo = hub.repos["clinic/advice"] = Repo("clinic/advice")
        first = {
            "zh/a.jsonl": lines({"q": 1}),
            "en/a.csv": "q\n2\n",
            "README.md": "# advice\n",
            "dataset_infos.json": "{}",
        }
        repo.tags["v1"] = hub.commit("clinic/advice", {path: text.encode() for path, text in first.items()}, "first")
        hub.commit("clinic/advice", {"zh/b.jsonl": lines({"q": 3}).encode()}, "second")
        assert asked_of_the_hub(name, client_env(hub, tmp_path / "home")) == says


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            "clinic/advice: no such file or folder, and the Hub cannot be reached (",
        ),
        ({"HF_ENDPOINT": "https://me:secret@hub.example"}, "clinic/advice: HF_ENDPOINT carries a credential; "),
        ({"HF_TOKEN": "hf_秘密"}, "clinic/advice: HF_TOKEN holds characters that no token has"),
    ],
)
def test_a_hub_that_is_not_there_is_one_line_without_a_secret(env, says, tmp_path):
    said = asked_of_the_hub("clinic/advice", {"HF_HOME": str(tmp_path), **env})
    assert said.startswith(says)
    assert "secret" not in said
    assert "秘密" not in said


def asked_of_the_hub(name: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_column_without_a_name_is_called_by_its_number():
    table = opened(written("a.csv", ",Question,\n0,壁胸膜的分部不包括,B\n"))
    assert rows(table) == [{"column_1": "0", "Question": "壁胸膜的分部不包括", "column_3": "B"}]
