"""A build survives what happens to it: kills, Ctrl-C, faults, two runs at once, a full disk. Calls are counted at the server."""

import contextlib
import json
import random
import resource
import signal
import sqlite3
import time
from pathlib import Path

import polars
import pytest
from folders import files_of

from builders.engine.rehearsal.server import Rehearsal

AT_ONCE = 8


def flags(server: Rehearsal, rows: int = 60) -> tuple[object, ...]:
    where = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url)
    return (
        *where,
        "--departments",
        "心血管内科,儿科",
        "--roles",
        "患者,护士",
        "--rows",
        rows,
        "--at-once",
        AT_ONCE,
        "--out",
        "set",
    )


def durable() -> int:
    """Answers in the ledger."""
    try:
        with contextlib.closing(sqlite3.connect("file:.suwen/ledger.sqlite?mode=ro", uri=True)) as ledger:
            return int(ledger.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_build_is_finished_by_the_next_run_and_pays_only_for_what_was_in_flight(
    rehearsal, process, distill, seed
):
    server = rehearsal(latency=0.05, spread=0.5)
    child = process(*flags(server))
    fatal = random.Random(seed).randint(3, 55)
    while durable() < fatal and child.poll() is None:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.3)  # let the server finish what it was sent
    again = distill(*flags(server))
    assert (again.code, again.said["rows"]) == (0, 60)
    asked_twice = sum(server.asked.values()) - len(server.asked)
    assert asked_twice <= AT_ONCE
    assert distill(*flags(server)).said["calls"] == 0
    quiet = distill(*flags(server), "--ledger", "fresh.sqlite", "--out", "quiet")
    assert quiet.said["rows"] == 60
    assert files_of(Path("set")) == files_of(Path("quiet"))


def test_no_answer_that_was_durable_is_asked_again_after_a_kill(rehearsal, process, distill):
    server = rehearsal(latency=0.05)
    child = process(*flags(server))
    while durable() < 20:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.3)
    before, kept = dict(server.asked), durable()
    assert distill(*flags(server)).said["rows"] == 60
    repeated = {body for body, times in server.asked.items() if body in before and times > before[body]}
    assert len(repeated) <= len(before) - kept


def test_what_was_in_flight_is_reported_as_doubtful(rehearsal, process, distill):
    server = rehearsal(latency=0.3)
    child = process(*flags(server))
    while server.in_flight < AT_ONCE // 2:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    again = distill(*flags(server, rows=8))
    assert "earlier calls are in doubt" in again.talk


def test_ctrl_c_lets_calls_in_flight_land_and_says_how_to_go_on(rehearsal, process, distill):
    server = rehearsal(latency=0.1)
    child = process(*flags(server))
    while durable() < 10:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    out, talk = child.communicate(timeout=20)
    assert child.returncode == 4
    assert "the same command goes on where it stood" in talk
    assert json.loads(out.splitlines()[-1])["path"] is None
    assert durable() == sum(server.answered.values())
    assert distill(*flags(server)).said["rows"] == 60
    assert max(server.asked.values()) == 1


@pytest.mark.parametrize(
    "fault", ["throttled", "server_error", "cut", "not_a_completion", "broken_json", "truncated", "flawed_item"]
)
def test_the_rows_are_exact_whatever_goes_wrong_with_a_fifth_of_the_answers(distill, rehearsal, fault):
    server = rehearsal(**{fault: 0.2})
    made = distill(*flags(server, rows=24))
    assert (made.code, made.said["rows"]) == (0, 24)
    rows = polars.read_parquet("set/distilled_instructions/*.parquet")
    assert rows["output"].str.len_chars().min() >= 20


def test_only_the_invalid_items_are_asked_for_again(distill, rehearsal):
    server = rehearsal(flawed_item=1.0)
    made = distill(*flags(server, rows=4))
    assert made.said["rows"] == 4
    assert made.said["calls"] == 4 + 2 * 4  # an answer each; four cells, each asked once and once more for one item
    assert made.said["rejected"] == {"invalid item": 4}  # the second try is spoilt as well


def test_two_runs_on_one_ledger_share_what_they_buy(rehearsal, process):
    server = rehearsal(latency=0.03)
    children = [process(*flags(server)[:-1], f"set{number}") for number in range(2)]
    for child in children:
        out, talk = child.communicate(timeout=60)
        assert child.returncode == 0, talk
        assert json.loads(out.splitlines()[-1])["rows"] == 60
    assert max(server.asked.values()) == 1
    assert files_of(Path("set0")) == files_of(Path("set1"))


def test_a_full_disk_is_one_clear_line_and_loses_no_answer(rehearsal, process, distill):
    server = rehearsal()

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    child = process(*flags(server), preexec_fn=small_disk)
    _, talk = child.communicate(timeout=60)
    assert child.returncode == 2, talk
    assert "Traceback" not in talk
    assert "ledger" in talk.splitlines()[-1]
    saved = durable()
    assert saved > 0
    finished = distill(*flags(server))
    assert finished.said["rows"] == 60
    assert finished.said["from_ledger"] >= saved


def test_a_corrupt_ledger_is_named_and_left_alone(distill):
    Path("bad.sqlite").write_bytes(b"this is no database, and it is longer than a header " * 40)
    before = Path("bad.sqlite").read_bytes()
    made = distill("--teacher", "rehearsal", "--rows", 3, "--out", "set", "--ledger", "bad.sqlite")
    assert made.code == 2
    assert "ledger bad.sqlite: file is not a database" in made.talk
    assert Path("bad.sqlite").read_bytes() == before


def test_the_budget_holds_over_all_runs_and_the_build_can_be_resumed(distill, rehearsal):
    server = rehearsal()
    priced = (*flags(server), "--price", "100,200")
    for _ in range(2):
        stopped = distill(*priced, "--max-usd", 3)
        assert stopped.code == 4
        assert "--max-usd 3" in stopped.talk
    with contextlib.closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        assert 0 < ledger.execute("SELECT SUM(usd) FROM answers").fetchone()[0] <= 3
    assert distill(*priced).said["rows"] == 60
    assert max(server.asked.values()) == 1


def test_a_token_limit_stops_the_build_the_same_way(distill, rehearsal):
    stopped = distill(*flags(rehearsal()), "--max-total-tokens", 40_000)
    assert stopped.code == 4
    assert stopped.said["tokens"] <= 40_000


def test_a_saturated_grid_stops_and_releases_nothing_unless_told(distill):
    narrow = ("--teacher", "rehearsal", "--departments", "儿科", "--roles", "护士", "--max-rouge-l", 0.25)
    stopped = distill(*narrow, "--rows", 2000, "--out", "set")
    assert stopped.code == 3
    assert "saturated" in stopped.talk
    assert not Path("set").exists()
    short = distill(*narrow, "--rows", 2000, "--out", "set", "--short")
    assert (short.code, short.said["calls"]) == (0, 0)
    assert 0 < short.said["rows"] < 2000
    assert polars.read_parquet("set/distilled_instructions/*.parquet").height == short.said["rows"]


def test_the_ledger_can_be_read_by_its_owner_alone(distill):
    distill("--teacher", "rehearsal", "--rows", 1, "--out", "set")
    assert Path(".suwen/ledger.sqlite").stat().st_mode & 0o077 == 0
