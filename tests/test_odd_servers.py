"""Servers that answer, but oddly: whatever they say, the run goes on or stops in order, and what was paid for is kept."""

import contextlib
import json
import signal
import sqlite3
import time
from pathlib import Path

import polars
import pytest
from aiohttp import web
from answers import completion

from builders.engine.rehearsal.replies import reply

ONE_CELL = ("--departments", "儿科", "--roles", "患者", "--out", "set")
EMOJI_CUT_IN_HALF = "\ud83d"
DEEP = "[" * 100_000
NESTED = '{"triplets": ' + "[" * 600 + "]" * 600 + "}"
BAD_FILTER = {"error": {"message": f"no {EMOJI_CUT_IN_HALF}", "code": "content_filter"}}


def spoiling(spoil):
    """A teacher like the rehearsal, whose answer n goes through `spoil(n, text)` first."""
    asked = []

    async def say(request):
        body = await request.json()
        asked.append(body)
        spoilt = spoil(len(asked), reply(body))
        return spoilt if isinstance(spoilt, web.Response) else completion(spoilt)

    return say, asked


@pytest.mark.parametrize(
    "spoil",
    [
        lambda n, text: f"{text}{EMOJI_CUT_IN_HALF}",
        lambda n, text: text.replace('"instruction": "', f'"instruction": "{chr(92)}ud83d', 1),
        lambda n, text: [{"type": "text", "text": text}, {"type": "refusal"}],
        lambda n, text: f"{text}\x00",
        lambda n, text: completion(text, usage=[1, 2]),
        lambda n, text: completion(text, usage={"prompt_tokens": "n/a", "completion_tokens": 10**30}),
        lambda n, text: completion(text, usage={"prompt_tokens": None, "completion_tokens": -4}),
        lambda n, text: None if n % 5 == 4 else text,
        lambda n, text: f'{{"triplets": {DEEP}' if n == 1 else text,
        lambda n, text: NESTED if n == 1 else text,
        lambda n, text: web.json_response(BAD_FILTER, status=400) if n == 3 else text,
    ],
    ids=["half an emoji", "escaped half emoji", "parts", "NUL", "usage a list", "usage absurd", "usage null", "no content", "deep", "nested", "odd refusal"],
)  # fmt: skip
def test_an_odd_answer_is_kept_or_rejected_and_never_crashes(serve, distill, spoil):
    handler, asked = spoiling(spoil)
    at = ("--teacher", "m", "--base-url", f"{serve(handler)}/v1", "--rows", 6)
    made = distill(*ONE_CELL, *at)
    assert (made.code, made.said["rows"]) == (0, 6), made.talk
    answered = len(asked)
    again = distill(*ONE_CELL, *at)
    assert (again.code, again.said["calls"], len(asked)) == (0, 0, answered)
    polars.read_parquet("set/distilled_instructions/*.parquet")


@pytest.mark.parametrize("status", [402, 405, 406])
def test_an_endpoint_that_stops_serving_stops_the_run_and_poisons_nothing(serve, distill, status):
    paid_up = []
    refusal = web.json_response

    def spoil(n, text):
        return text if n <= 8 or paid_up else refusal({"error": {"message": "Insufficient Balance"}}, status=status)

    handler, _ = spoiling(spoil)
    at = ("--teacher", "m", "--base-url", f"{serve(handler)}/v1", "--rows", 12)
    stopped = distill(*ONE_CELL, *at)
    assert stopped.code == 2
    assert "Insufficient Balance" in stopped.talk.splitlines()[-1]
    assert stopped.said["calls"] >= 8  # what was paid for is told
    with contextlib.closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT COUNT(*) FROM answers WHERE refused").fetchone() == (0,)
    paid_up.append(True)
    assert distill(*ONE_CELL, *at).said["rows"] == 12


def test_a_request_that_is_refused_becomes_a_reject_and_is_not_asked_again(serve, distill):
    def spoil(n, text):
        filtered = {"error": {"message": "policy", "code": "content_filter"}}
        return web.json_response(filtered, status=400) if n in (2, 5) else text

    handler, asked = spoiling(spoil)
    at = ("--teacher", "m", "--base-url", f"{serve(handler)}/v1", "--rows", 6, "--at-once", 1)
    made = distill(*ONE_CELL, *at)
    assert (made.code, made.said["rejected"]) == (0, {"refused by the endpoint": 2})
    answered = len(asked)
    assert distill(*ONE_CELL, *at).said["rejected"] == {"refused by the endpoint": 2}
    assert len(asked) == answered


def test_ctrl_c_does_not_wait_for_a_retry_after(serve, process):
    asked = []

    async def wait(request):
        asked.append(await request.json())
        return web.json_response({"error": {"message": "later"}}, status=429, headers={"retry-after": "600"})

    child = process(*ONE_CELL, "--teacher", "m", "--base-url", f"{serve(wait)}/v1", "--rows", 6)
    deadline = time.monotonic() + 20
    while not asked and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, talk = child.communicate(timeout=10)
    assert child.returncode == 4, talk
    assert json.loads(out.splitlines()[-1])["rows"] == 0


def test_a_proxy_in_the_shell_is_not_asked_for_this_machine(process, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    child = process("--teacher", "rehearsal", "--rows", 2, "--out", "set")
    out, talk = child.communicate(timeout=30)
    assert child.returncode == 0, talk
    assert json.loads(out.splitlines()[-1])["rows"] == 2


def test_two_builds_into_one_folder_do_not_mix(rehearsal, process, distill):
    server = rehearsal(latency=0.3)
    at = ("--base-url", server.url, "--teacher", "rehearsal@rehearsal", "--rows", 6)
    child = process(*ONE_CELL, *at)
    deadline = time.monotonic() + 20
    while not server.asked and time.monotonic() < deadline:
        time.sleep(0.02)
    second = distill(*ONE_CELL, *at)
    assert second.code == 2
    assert "another build is writing to it" in second.talk
    assert child.wait(timeout=30) == 0


def test_a_ledger_behind_a_link_is_the_same_ledger(rehearsal, process):
    server = rehearsal(latency=0.05)
    Path("real").mkdir()
    Path("link.sqlite").symlink_to("real/ledger.sqlite")
    at = (
        "--base-url",
        server.url,
        "--teacher",
        "rehearsal@rehearsal",
        "--rows",
        12,
        "--departments",
        "儿科",
        "--roles",
        "患者",
    )
    ledgers = ("real/ledger.sqlite", "link.sqlite")
    children = [process(*at, "--out", f"set{n}", "--ledger", ledger) for n, ledger in enumerate(ledgers)]
    for child in children:
        assert child.wait(timeout=60) == 0
    assert max(server.asked.values()) == 1


@pytest.mark.slow
def test_a_lost_endpoint_stops_the_run_resumable_with_its_json_line(serve, distill):
    handler, _ = spoiling(lambda n, text: web.json_response({"error": {"message": "down"}}, status=503))
    made = distill(*ONE_CELL, "--teacher", "m", "--base-url", f"{serve(handler)}/v1", "--rows", 2)
    assert made.code == 4
    assert "the same command goes on where it stood" in made.talk
    assert made.said["path"] is None
