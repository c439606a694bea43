"""A search survives what happens to it: kills, Ctrl-C, a full disk, damaged files, wrong flags, two runs at once."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dedup_texts import ENVIRONMENT, dedup, here, kept, message, refused, removed, sentence, table, texts_file
from folders import files_of
from tables import damage, written

COUNT = 40_000
CHUNK = 4096
FLAGS = ("--kernel", "numpy", "--threads", 2, "--id", "id")
IN_CHUNKS = f"""
import builders.engine.dedup.signing as signing
from builders.dedup import Dedup, main
from schemas.settings import run_command
signing.CHUNK = {CHUNK}  # so that the keys of {COUNT:,} texts are ten files
run_command(Dedup, main)
"""
HELD_BACK = """
import sys, time
from pathlib import Path
from builders.dedup import Dedup, main
from builders.engine.dedup import job
from schemas.settings import run_command
find = job.find
def held_back(*arguments, **how):  # until the test lets it go on
    found = find(*arguments, **how)
    Path("searched").touch()
    while not Path("go").exists():
        time.sleep(0.005)
    return found
job.find = held_back
run_command(Dedup, main)
"""
WITHOUT_NUMBA = """
import importlib.util, runpy
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "numba" else find_spec(name, *more)
runpy.run_module("builders.dedup", run_name="__main__")
"""
OUTPUT = ("kept.parquet", "removed.parquet")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A file of many short texts, a fifth of them near to another one, and what a run that nothing disturbs writes."""
    folder = tmp_path_factory.mktemp("crowd")
    with contextlib.chdir(folder):
        draw = random.Random(1)
        texts = [sentence(draw, 20, 30) for _ in range(COUNT * 4 // 5)]
        texts += [text + "吗" for text in texts[: COUNT - len(texts)]]
        draw.shuffle(texts)
        texts_file("crowd.jsonl", texts)
        assert here("crowd.jsonl", *FLAGS, "--out", "quiet", "--index", "index").said["near"] > COUNT // 6
    return folder


@contextlib.contextmanager
def running(script: str, *arguments: object):
    """A driver in a process of its own; killed at the end if it still runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def wait_for(pattern: str, child: "subprocess.Popen[str]") -> bool:
    """Until a file is there; False when the process has ended without."""
    while not list(Path().glob(pattern)):
        if child.poll() is not None:
            return False
        time.sleep(0.0005)
    return True


def same_as_quiet(crowd: Path, out: str = "out") -> None:
    """The output is that of an undisturbed run, and nothing half-written is beside it."""
    assert {name: Path(out, name).read_bytes() for name in OUTPUT} == {
        name: (crowd / "quiet" / name).read_bytes() for name in OUTPUT
    }
    assert sorted(path.name for path in Path(out).iterdir()) == [*OUTPUT, "report.json"]
    assert not list(Path(out).parent.glob(f".{out}*"))


def old_output(out: str = "out") -> dict[str, bytes]:
    """What an earlier run on other texts left."""
    texts_file("old.jsonl", ["头疼怎么办", "头疼怎么办？", "肚子疼"])
    here("old.jsonl", "--out", out)
    return files_of(Path(out))


def stands(old: dict[str, bytes], out: str = "out") -> bool:
    """Whether an earlier output is whole."""
    return {name: Path(out, name).read_bytes() for name in old} == old


# --- kills


MOMENTS = {
    "converting": "out/.work/table-*",
    "signing": "out/.work/signs-*/signs-00002",
    "nearly signed": f"out/.work/signs-*/signs-{COUNT // CHUNK - 1:05d}",
    "writing": "out/.kept.parquet.part",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_leaves_the_old_output_and_the_next_one_ends_as_if_nothing_had_been(crowd, moment):
    old = old_output()
    arguments = (crowd / "crowd.jsonl", *FLAGS, "--out", "out")
    with running(IN_CHUNKS, *arguments) as child:
        assert wait_for(MOMENTS[moment], child)
        child.kill()
        child.wait()
    assert stands(old) or moment == "writing"
    assert dedup(*arguments).code == 0
    same_as_quiet(crowd)


@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_at_any_time_is_finished_by_the_next(crowd, seed):
    arguments = (crowd / "crowd.jsonl", *FLAGS, "--out", "out")
    draw = random.Random(seed)
    for _ in range(2):
        with running(IN_CHUNKS, *arguments) as child, contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(draw.uniform(0.3, 1.3))
    assert dedup(*arguments).code == 0
    same_as_quiet(crowd)


def test_a_run_that_was_killed_goes_on_behind_what_it_had_read(crowd):
    arguments = (crowd / "crowd.jsonl", *FLAGS, "--out", "out")

    def killed_when(file: str) -> tuple[int, int]:
        with running(IN_CHUNKS, *arguments) as child:
            assert wait_for("out/.work/signs-*/signs-00000", child)
            assert wait_for(f"out/.work/signs-*/{file}", child)
        (first,) = Path("out/.work").glob("signs-*/signs-00000")
        return first.stat().st_ino, first.stat().st_mtime_ns

    assert killed_when("signs-00001") == killed_when("signs-00004") == killed_when("signs-00007")
    with running(IN_CHUNKS, *arguments) as child:
        assert child.wait() == 0
    same_as_quiet(crowd)


def test_what_another_run_had_read_is_not_taken_for_ones_own(crowd):
    out = ("--out", "out")
    with running(IN_CHUNKS, crowd / "crowd.jsonl", *FLAGS, *out, "--ngram", 3) as child:
        assert wait_for("out/.work/signs-*/signs-00004", child)
    with running(IN_CHUNKS, crowd / "crowd.jsonl", *FLAGS, *out) as child:
        assert child.wait() == 0
    same_as_quiet(crowd)


def test_an_index_that_a_killed_run_was_writing_can_be_used_and_is_finished_by_the_next_run(crowd):
    arguments = (crowd / "crowd.jsonl", *FLAGS, "--out", "out", "--index", "index")
    texts_file("small.jsonl", ["头疼怎么办", "头疼怎么办？"])
    for moment in ("index/.segment-*.part", "index/.segment-*.ready"):
        with running(IN_CHUNKS, *arguments) as child:
            wait_for(moment, child)
            child.kill()
            child.wait()
    assert here("small.jsonl", "--index", "index", "--out", "small").code == 0
    assert dedup(*arguments).code == 0
    assert kept("out") == kept(str(crowd / "quiet"))
    assert not list(Path("index").glob(".*"))
    shutil.rmtree("out")
    texts_file("next.jsonl", [row["text"] for row in table(crowd / "quiet/kept.parquet")][:100])
    assert here("next.jsonl", "--index", "index", "--out", "next").said["exact"] == 100


@pytest.mark.parametrize("moment", ["converting", "signing", "writing"])
def test_ctrl_c_is_one_line_and_the_same_command_ends_it(crowd, moment):
    old = old_output()
    arguments = (crowd / "crowd.jsonl", *FLAGS, "--out", "out")
    with running(IN_CHUNKS, *arguments) as child:
        assert wait_for(MOMENTS[moment], child)
        child.send_signal(signal.SIGINT)
        out, talk = child.communicate()
    if moment != "writing" or child.returncode:  # else it was done before the signal came
        assert (child.returncode, out) == (4, "")
        plan = (f"{COUNT:,} texts", "a pair this alike")
        said = [line for line in talk.splitlines() if not line.startswith(plan)]
        assert said == ["ended at once; the same command goes on where it stood"]
        assert stands(old)
    assert dedup(*arguments).code == 0
    same_as_quiet(crowd)


# --- two at once


def test_of_two_runs_into_one_folder_the_second_is_refused():
    texts_file("a.jsonl", ["头疼怎么办", "头疼怎么办？"])
    with running(HELD_BACK, "a.jsonl", "--out", "out") as child:
        assert wait_for("searched", child)
        assert refused("a.jsonl", "--out", "out") == "--out out: another build is writing to it"
        assert refused("a.jsonl", "--out", "../" + Path.cwd().name + "/out").endswith(
            ": another build is writing to it"
        )
        assert dedup("a.jsonl", "--out", "out", "--dry-run").code == 0
        Path("go").touch()
        assert child.wait() == 0
    assert len(kept("out", "text")) == 1
    assert dedup("a.jsonl", "--out", "out").code == 0


def test_of_two_runs_with_one_index_neither_is_forgotten():
    texts_file("a.jsonl", ["头疼怎么办"])
    texts_file("b.jsonl", ["肚子疼怎么办"])
    with running(HELD_BACK, "a.jsonl", "--out", "a", "--index", "index") as child:
        assert wait_for("searched", child)
        other = dedup("b.jsonl", "--out", "b", "--index", "index")
        Path("go").touch()
        assert child.wait() == 0
    if other.code:  # it may be refused, in one line
        assert (other.code, "index" in message(other.talk)) == (2, True)
        assert dedup("b.jsonl", "--out", "b", "--index", "index").code == 0
    texts_file("c.jsonl", ["头疼怎么办", "肚子疼怎么办"])
    assert here("c.jsonl", "--out", "c", "--index", "index").said["exact"] == 2


# --- full disks


@contextlib.contextmanager
def small_disk(megabytes: int = 16):
    """A folder `disk` on a disk of its own, and a function that leaves it so many bytes; skips where none may be mounted."""
    place = Path("disk")
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place.resolve())]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk to be had: {mounted.stderr.strip()}")

    def leave(room: int) -> None:
        fill = place / "fill"
        fill.unlink(missing_ok=True)
        fill.write_bytes(bytes(max(0, shutil.disk_usage(place).free - room)))

    try:
        yield leave
    finally:
        subprocess.run(["umount", "-l", place.resolve()], check=True, capture_output=True)


def wide() -> int:
    """A table of many columns, whose footers take as much room as its rows; gives the bytes of the whole output."""
    draw = random.Random(2)
    texts = [sentence(draw, 20, 30) for _ in range(100)]
    columns = {f"c{number}": [number] * 150 for number in range(300)}
    pq.write_table(pa.table({"text": [*texts, *(text + "吗" for text in texts[:50])], **columns}), "wide.parquet")
    here("wide.parquet", "--out", "quiet")
    return sum(Path("quiet", name).stat().st_size for name in OUTPUT)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4, 0.8, 0.97])
def test_a_full_disk_is_one_line_and_the_old_output_stands(share):
    needed = wide()
    with small_disk() as leave:
        old = old_output("disk/out")
        leave(int(needed * share))
        said = refused("wide.parquet", "--out", "disk/out")
        assert said == "--out disk/out: no space left on the disk; nothing was changed there"
        assert stands(old, "disk/out")
        assert {path.name for path in Path("disk/out").iterdir()} <= {*old, ".work"}
        Path("disk/fill").unlink()
        assert dedup("wide.parquet", "--out", "disk/out").code == 0
        assert {name: Path("disk/out", name).read_bytes() for name in OUTPUT} == {
            name: Path("quiet", name).read_bytes() for name in OUTPUT
        }


def test_a_disk_that_is_full_when_rows_are_converted_is_one_line(crowd):
    with small_disk(1):
        said = refused(crowd / "crowd.jsonl", "--out", "disk/out")
        assert "disk" in said
        assert "o space left" in said


def test_a_disk_that_is_full_when_the_index_is_written_is_one_line_that_is_true(crowd):
    with small_disk(2):
        old = old_output()
        said = refused(crowd / "crowd.jsonl", *FLAGS, "--out", "out", "--index", "disk/index")
        assert said == "--index disk/index: No space left on device"
        assert stands(old)
        assert not Path("disk/index/index.json").exists()
    shutil.rmtree("disk")
    assert dedup(crowd / "crowd.jsonl", *FLAGS, "--out", "out", "--index", "disk/index").code == 0
    same_as_quiet(crowd)


def test_pairs_that_do_not_fit_on_the_disk_are_one_line(crowd):
    with small_disk(1) as leave:
        leave(10_000)
        old = old_output()
        said = refused(crowd / "crowd.jsonl", *FLAGS, "--out", "out", "--pairs", "disk/pairs.parquet")
        assert "no space left" in said
        assert stands(old)
        assert {path.name for path in Path("disk").iterdir()} == {"fill"}


# --- damaged files


@pytest.mark.parametrize("column", ["text", "note"])
def test_a_parquet_damaged_in_the_middle_is_one_line_that_names_it_and_the_old_output_stands(column):
    draw = random.Random(3)
    first, later = ("text", "note") if column == "text" else ("note", "text")  # the damaged one is by far the larger
    sizes = {first: 60, later: 5}
    rows = {name: [sentence(draw, sizes[name], sizes[name]) for _ in range(20_000)] for name in ("text", "note")}
    pq.write_table(pa.table(rows), "a.parquet", compression="zstd", row_group_size=5000, use_dictionary=False)
    damage("a.parquet", 0.5)
    old = old_output()
    assert refused("a.parquet", "--out", "out").startswith("a.parquet: cannot be read as Parquet: ")
    assert stands(old)
    assert refused("old.jsonl", "a.parquet", "--out", "out").startswith("a.parquet: cannot be read as Parquet: ")
    assert stands(old)


def test_a_parquet_cut_short_and_an_empty_file_are_one_line():
    texts_file("a.jsonl", ["头疼"])
    pq.write_table(pa.table({"text": ["头疼"] * 1000}), "b.parquet")
    written("b.parquet", Path("b.parquet").read_bytes()[:-50])
    written("c.jsonl", "")
    assert refused("a.jsonl", "b.parquet").startswith("b.parquet: cannot be read as Parquet: ")
    assert refused("c.jsonl") == "c.jsonl: the file is empty"
    assert refused("a.jsonl", "--against", "b.parquet").startswith("b.parquet: cannot be read as Parquet: ")
    assert not Path("build/dedup/kept.parquet").exists()


# --- wrong flags


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["nothing.jsonl"], "nothing.jsonl: no such file or folder"),
        ([], "the following arguments are required: INPUTS"),
        (["a.jsonl", "--text", "answr"], "a.jsonl: --text answr: no column 'answr'; did you mean answer?"),
        (["a.jsonl", "--text", "{answr}"], "a.jsonl: --text {answr}: no column 'answr'; did you mean answer?"),
        (["a.jsonl", "--text", "n.x"], "a.jsonl: --text n.x: n is int64, and nothing is inside it"),
        (["a.jsonl", "--threshold", "0"], "--threshold: "),
        (["a.jsonl", "--threshold", "1.5"], "--threshold: "),
        (["a.jsonl", "--threshold", "nan"], "--threshold: "),
        (["a.jsonl", "--ngram", "0"], "--ngram: "),
        (["a.jsonl", "--ngram", "65"], "--ngram: "),
        (["a.jsonl", "--permutations", "7"], "--permutations: "),
        (["a.jsonl", "--threads", "0"], "--threads: "),
        (["a.jsonl", "--keep", "nicest"], "--keep: expected first, longest or best:COLUMN, got 'nicest'"),
        (["a.jsonl", "--keep", "best:"], "--keep: "),
        (["a.jsonl", "--keep", "best:scor"], "--keep: a.jsonl has no column 'scor'"),
        (["a.jsonl", "--keep", "best:answer"], "--keep best:answer: "),
        (
            ["a.jsonl", "--fold", "nfkc,accents"],
            "--fold: expected some of nfkc,case,width,punctuation,simplified, got ",
        ),
        (["a.jsonl", "--id", "key"], "--id: a.jsonl has no column 'key'"),
        (["a.jsonl", "--mode", "best"], "--mode: "),
        (["a.jsonl", "--mode", "cluster", "--index", "index"], "--mode cluster joins texts across releases"),
        (["a.jsonl", "--granularity", "turn"], "--granularity: "),
        (["a.jsonl", "--granularity", "answer"], "a.jsonl: --text answer: "),
        (["a.jsonl", "--kernel", "cuda"], "--kernel: "),
        (["a.jsonl", "--treshold", "0.9"], "unrecognized arguments: --treshold"),
        (["a.jsonl", "--against", "exam.csv"], "exam.csv: no such file or folder"),
        (["a.jsonl", "--index", "a.jsonl"], "--index a.jsonl"),
        (["a.jsonl", "--out", "a.jsonl"], "a.jsonl"),
        (["a.jsonl", "--pairs", "folder"], "--pairs folder: is a folder"),
        (["a.jsonl", "--recall", "1"], "--recall: "),
    ],
)
def test_a_wrong_flag_is_one_line_and_writes_nothing(flags, says):
    written("a.jsonl", '{"answer": "多喝水，多休息", "n": 1, "score": 0.5}\n')
    Path("folder").mkdir()
    text = [] if "--text" in flags or "--treshold" in flags or not flags else ["--text", "answer"]
    done = here(*flags, *text)
    assert (done.code, done.said) == (2, {})
    assert message(done.talk).startswith(says)
    assert not Path("build/dedup/kept.parquet").exists()
    assert not Path("index").exists()
    assert list(Path("folder").iterdir()) == []


def test_a_flag_misspelled_is_answered_with_the_closest():
    texts_file("a.jsonl", ["头疼"])
    assert refused("a.jsonl", "--treshold", "0.9").endswith("; did you mean --threshold?")


def test_the_compiled_kernel_where_numba_is_not_is_one_line():
    texts_file("a.jsonl", ["头疼"])
    with running(WITHOUT_NUMBA, "a.jsonl", "--kernel", "compiled") as child:
        out, talk = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert message(talk) == "--kernel compiled: the compiled kernel needs numba: pip install 'suwen[fast]'"
    with running(WITHOUT_NUMBA, "a.jsonl") as child:
        _, talk = child.communicate()
    assert (child.returncode, "numpy kernel" in talk) == (0, True)


def test_output_within_an_input_is_not_read_as_one():
    Path("data").mkdir()
    texts_file("data/a.jsonl", ["头疼", "头疼。", "肚子疼"])
    first = here("data", "--out", "data/clean")
    again = here("data", "--out", "data/clean")
    assert (first.code, again.code) == (2, 2) or again.said["texts"] == first.said["texts"] == 3


def test_pairs_never_take_the_place_of_an_input():
    texts_file("a.jsonl", ["头疼", "头疼。", "肚子疼"])
    before = Path("a.jsonl").read_bytes()
    here("a.jsonl", "--pairs", "a.jsonl")
    assert Path("a.jsonl").read_bytes() == before


def test_output_beside_which_other_files_lie_leaves_them_alone():
    texts_file("a.jsonl", ["头疼", "头疼。"])
    written("build/dedup/notes.md", "我的笔记")
    written("build/dedup/rejected.jsonl", "上一次的")
    assert dedup("a.jsonl").code == 0
    assert Path("build/dedup/notes.md").read_text() == "我的笔记"
    assert [row["text"] for row in removed()] == ["头疼。"]
