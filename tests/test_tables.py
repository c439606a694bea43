"""Any set of rows is read in batches, whatever its format, from any row on; what is converted is converted once."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from tables import SCRATCH, damage, lines, opened, rejected, rows, written, zst

from schemas.settings import InputError

ASKED = [{"q": f"头疼第{number}天怎么办", "n": number} for number in range(1000)]


# --- every format gives the same rows


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "a.json.zst", "A.JSONL"])
def test_json_lines_are_read_plain_and_packed(name):
    content = lines(*ASKED).encode()
    packed = {".gz": gzip.compress, ".zst": zst}.get(Path(name).suffix, bytes)(content)
    table = opened(written(name, packed))
    assert rows(table) == ASKED
    assert (table.name, table.rows, table.bytes, table.rejected) == (name, 1000, len(packed), None)
    assert table.schema == pa.schema([("q", pa.string()), ("n", pa.int64())])


@pytest.mark.parametrize("indent", [None, 2])
def test_one_array_in_a_json_file_is_its_rows(indent):
    assert rows(opened(written("a.json", json.dumps(ASKED, indent=indent)))) == ASKED


def test_objects_printed_over_many_lines_are_a_row_each():
    pretty = "\n".join(json.dumps(row, indent=4, ensure_ascii=False) for row in ASKED[:3])
    assert rows(opened(written("a.json", pretty))) == ASKED[:3]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("a.csv.gz", ","), ("a.tsv.zst", "\t")])
def test_csv_fields_are_the_texts_they_are(name, mark):
    text = (
        mark.join(["id", "答"])
        + "\r\n"
        + mark.join(["007", "NA"])
        + "\r\n"
        + mark.join(["", '"两\r\n行, ""引号"""'])
        + "\r\n"
    )
    packed = {".gz": gzip.compress, ".zst": zst}.get(Path(name).suffix, bytes)(text.encode())
    table = opened(written(name, packed))
    assert rows(table) == [{"id": "007", "答": "NA"}, {"id": "", "答": '两\r\n行, "引号"'}]
    assert table.schema == pa.schema([("id", pa.string()), ("答", pa.string())])


@pytest.mark.parametrize("name", ["a.parquet", "shard-without-extension"])
def test_parquet_is_known_by_name_or_by_its_first_bytes(name):
    pq.write_table(pa.Table.from_pylist(ASKED), name)
    table = opened(name)
    assert rows(table) == ASKED
    assert not SCRATCH.exists()


@pytest.mark.parametrize(
    "type",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_text_columns_of_parquet_keep_their_type(type):
    pq.write_table(pa.table({"q": pa.array(["头疼", None], pa.string()).cast(type)}), "a.parquet")
    table = opened("a.parquet")
    assert table.schema.field("q").type == type
    assert [batch.column(0).cast(pa.string()).to_pylist() for batch in table.batches()] == [["头疼", None]]


# --- order, offsets, columns, places


@pytest.mark.parametrize("start", [0, 1, 99, 100, 101, 350, 999, 1000, 5000])
def test_reading_from_the_middle_gives_what_follows(start):
    pq.write_table(pa.Table.from_pylist(ASKED[:600]), "a-1.parquet", row_group_size=100)
    written("a-2.jsonl", lines(*ASKED[600:]))
    Path("set").mkdir()
    for name in ("a-1.parquet", "a-2.jsonl"):
        Path(name).rename(Path("set") / name)
    table = opened("set")
    assert rows(table, start=start, at_most=64) == ASKED[start:]
    assert [row["n"] for row in rows(table, ["n"], start=start)] == list(range(start, 1000))


def test_row_groups_before_the_start_are_not_decoded():
    pq.write_table(pa.Table.from_pylist(ASKED), "a.parquet", row_group_size=100)
    damage("a.parquet", 0.1)
    table = opened("a.parquet")
    assert [row["n"] for row in rows(table, start=900)] == list(range(900, 1000))
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as Parquet: "):
        rows(table)


def test_batches_are_no_larger_than_asked():
    pq.write_table(pa.Table.from_pylist(ASKED), "a.parquet")
    sizes = [batch.num_rows for batch in opened("a.parquet").batches(at_most=300)]
    assert max(sizes) <= 300
    assert sum(sizes) == 1000


def test_columns_come_in_the_order_asked_and_dots_in_a_name_are_no_path():
    pq.write_table(pa.table({"a.b": [1], "a": [{"b": 2}], "c": [3]}), "a.parquet")
    assert rows(opened("a.parquet"), ["c", "a.b"]) == [{"c": 3, "a.b": 1}]


def test_a_place_names_the_file_and_the_row_in_it():
    written("set/b/two.jsonl", lines({"q": 4}, "oops", "", {"q": 5}))
    written("set/a.csv", "q\n1\n2,3\n4\n")
    table = opened("set")
    assert [row["q"] for row in rows(table)] == ["1", "4", "4", "5"]
    places = ["a.csv: row 1", "a.csv: row 3", "b/two.jsonl: row 1", "b/two.jsonl: row 3"]
    assert [table.place(number) for number in range(4)] == places
    assert [(one["place"], one["raw"]) for one in rejected(table)] == [
        ("a.csv: row 2", "2,3"),
        ("b/two.jsonl: line 2", "oops"),
    ]


def test_a_table_says_when_its_files_may_have_changed():
    path = written("a.jsonl", lines({"q": 1}))
    before = opened(path).fingerprint
    assert opened(path).fingerprint == before
    written("a.jsonl", lines({"q": 2}))
    os.utime(path, ns=(0, 1))
    assert opened(path).fingerprint != before
    assert rows(opened(path)) == [{"q": 2}]


# --- folders


def test_a_folder_is_its_data_files_by_path_without_hidden_ones():
    for name in (
        "b.jsonl",
        "a/2.jsonl",
        "a/1.jsonl",
        ".git/x.jsonl",
        "_tmp/x.jsonl",
        ".x.jsonl",
        "_x.jsonl",
        "README.md",
    ):
        written(f"set/{name}", lines({"q": name}))
    written("set/dataset_infos.json", "{}")
    assert [row["q"] for row in rows(opened("set"))] == ["a/1.jsonl", "a/2.jsonl", "b.jsonl"]


def test_of_a_release_only_the_data_are_read():
    pq.write_table(pa.table({"q": ["kept"]}), written("out/advice/train-00000-of-00001.parquet", b""))
    pq.write_table(pa.table({"q": ["thrown away"]}), written("out/rejected/rejected.parquet", b""))
    written("out/reports/rejected.jsonl", lines({"id": 1}))
    for name in ("manifest.json", "croissant.json"):
        written(f"out/{name}", "{}")
    assert rows(opened("out")) == [{"q": "kept"}]


def test_folders_are_followed_through_links_but_not_round_in_circles():
    written("elsewhere/a.jsonl", lines({"q": 1}))
    written("set/b.jsonl", lines({"q": 2}))
    Path("set/linked").symlink_to(Path("elsewhere").resolve())
    Path("set/back").symlink_to(Path("set").resolve())
    assert rows(opened("set")) == [{"q": 2}, {"q": 1}]


def test_files_of_different_columns_are_read_as_one(capsys):
    pq.write_table(
        pa.table({"q": ["a"], "n": pa.array([1], pa.int32()), "s": [{"x": 1}]}), written("set/1.parquet", b"")
    )
    pq.write_table(pa.table({"n": [0.5], "s": [{"y": "z"}]}), written("set/2.parquet", b""))
    written("set/3.csv", "q,n\nb,007\n")
    table = opened("set")
    assert rows(table) == [
        {"q": "a", "n": "1", "s": {"x": 1, "y": None}},
        {"q": None, "n": "0.5", "s": {"x": None, "y": "z"}},
        {"q": "b", "n": "007", "s": None},
    ]
    assert rows(table, ["q"]) == [{"q": "a"}, {"q": None}, {"q": "b"}]
    assert capsys.readouterr().err == (
        "set: column n is of different types in its files; it is read as text, JSON where it was none\n"
    )


def test_thousands_of_small_files_make_one_conversion():
    for number in range(2000):
        written(f"set/{number:04d}.json", json.dumps({"n": number}, indent=1))
    table = opened("set")
    assert [row["n"] for row in rows(table)] == list(range(2000))
    assert table.place(1234) == "1234.json: row 1"
    assert len(list(SCRATCH.glob("*/part-*.parquet"))) == 1


# --- conversion: once, whole, resumable


def test_a_finished_conversion_is_used_again_and_an_unfinished_one_is_not():
    path = written("a.jsonl", lines(*ASKED, "oops"))
    table = opened(path)
    (folder,) = SCRATCH.iterdir()
    made = (folder / "part-00000.parquet").stat().st_mtime_ns
    assert opened(path).rejected == table.rejected
    assert (folder / "part-00000.parquet").stat().st_mtime_ns == made
    (folder / "part-00000.parquet").write_bytes(b"half")
    folder.rename(folder.with_suffix(".draft"))  # as a killed run leaves it
    assert rows(opened(path)) == ASKED
    assert [one.name for one in SCRATCH.iterdir()] == [folder.name]


def test_a_killed_conversion_leaves_nothing_that_counts():
    written("big.jsonl", lines(*ASKED) * 1000)
    script = "from builders.sources.tables import open_tables; from pathlib import Path\n"
    script += "print('begun', flush=True); open_tables(['big.jsonl'], Path('scratch'))"
    child = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    while not list(SCRATCH.glob("*.draft/part-*")):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate()
    table = opened("big.jsonl")
    assert table.rows == 1_000_000
    assert [row["n"] for row in rows(table, ["n"], start=999_998)] == [998, 999]
    assert not list(SCRATCH.glob("*.draft"))


def test_a_full_disk_is_said_once_and_in_one_line():
    content = lines(*({"q": random.Random(number).randbytes(2000).hex()} for number in range(10_000)))
    written("big.jsonl", content)
    script = """
import gc, resource, signal, sys
from pathlib import Path
from builders.sources.tables import open_tables
from schemas.settings import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    open_tables(["big.jsonl"], Path("scratch"))
except InputError as wrong:
    print(wrong)
gc.collect()
"""
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith("scratch: cannot hold the rows that are converted there: ")
    assert said.stdout.count("\n") == 1
    assert said.stderr == ""
    assert list(SCRATCH.iterdir()) == []
