"""--batch: the Batch API with the same ledger. A batch is never submitted twice, and what it brought is never lost."""

import asyncio
import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import polars
import pytest
from aiohttp import web
from folders import files_of

SMALL = ("--departments", "儿科,骨科", "--roles", "患者,护士", "--rows", 12, "--out", "set")


def at(url: str) -> tuple[object, ...]:
    return ("--teacher", "rehearsal@rehearsal", "--base-url", url, *SMALL)


def rows(folder: str = "set") -> dict[str, bytes]:
    """The data files of a release."""
    return {name: data for name, data in files_of(Path(folder)).items() if name.endswith(".parquet")}


def wait_for(true) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def passing_on(server, spoil):
    """A handler that passes everything on to the rehearsal; `spoil(method, path, forward)` may do something else."""

    async def handle(request):
        body = await request.read()
        headers = {"content-type": request.headers.get("content-type", "")}

        async def forward():
            url = server.url.removesuffix("/v1") + request.path_qs
            async with (
                aiohttp.ClientSession() as session,
                session.request(request.method, url, data=body, headers=headers) as answer,
            ):
                kept = {
                    name: value
                    for name, value in answer.headers.items()
                    if name in ("content-type", "x-suwen-rehearsal")
                }
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        return await spoil(request, forward)

    return handle


def test_a_batch_gives_the_rows_that_single_calls_give(rehearsal, distill):
    server = rehearsal()
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert len(server.batches_created) == 2  # triplets, then answers
    assert server.most_in_flight == 0
    single = distill(*at(server.url), "--ledger", "single.sqlite", "--out", "single")
    assert single.said["calls"] == made.said["calls"]
    assert rows() == rows("single")


def test_after_a_batch_neither_another_nor_a_single_call_is_bought(rehearsal, distill):
    server = rehearsal()
    distill(*at(server.url), "--batch")
    for flags in (("--batch",), ()):
        again = distill(*at(server.url), *flags)
        assert (again.code, again.said["calls"]) == (0, 0)
    assert max(server.asked.values()) == max(server.batches_created.values()) == 1


@pytest.mark.parametrize("then", [("--batch",), ()], ids=["batch", "single calls"])
def test_a_run_killed_while_its_batch_is_at_work_is_finished_by_the_next(rehearsal, process, distill, then):
    server = rehearsal(batch_seconds=3)
    child = process(*at(server.url), "--batch")
    wait_for(lambda: server.batches_created)
    child.send_signal(signal.SIGKILL)
    child.wait()
    made = distill(*at(server.url), *then)
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert "of an earlier run: fetching its" in made.talk
    assert max(server.asked.values()) == max(server.batches_created.values()) == 1
    assert made.said["in_doubt"] == 0


def test_a_batch_whose_creation_was_never_heard_of_is_found_and_not_submitted_again(rehearsal, serve, distill):
    server, lost = rehearsal(), []

    async def spoil(request, forward):
        answer = await forward()
        if request.path == "/v1/batches" and request.method == "POST" and not lost:
            lost.append(answer)
            request.transport.close()
        return answer

    made = distill(*at(serve(passing_on(server, spoil)) + "/v1"), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert lost
    assert max(server.batches_created.values()) == max(server.asked.values()) == 1


def test_a_run_killed_before_it_hears_of_its_batch_leaves_it_to_the_next(rehearsal, serve, process, distill):
    server, created = rehearsal(), []

    async def spoil(request, forward):
        answer = await forward()
        if request.path == "/v1/batches" and request.method == "POST" and not created:
            created.append(answer)
            child.send_signal(signal.SIGKILL)
        return answer

    url = serve(passing_on(server, spoil)) + "/v1"
    child = process(*at(url), "--batch")
    child.wait(timeout=30)
    made = distill(*at(url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert max(server.batches_created.values()) == max(server.asked.values()) == 1


def test_a_run_killed_before_anything_left_asks_as_if_nothing_had_been(rehearsal, serve, process, distill):
    server, uploads = rehearsal(), []

    async def spoil(request, forward):
        if request.path == "/v1/files" and request.method == "POST" and not uploads:
            uploads.append(request)
            child.send_signal(signal.SIGKILL)
        return await forward()

    url = serve(passing_on(server, spoil)) + "/v1"
    child = process(*at(url), "--batch")
    child.wait(timeout=30)
    made = distill(*at(url), "--batch")
    assert (made.code, made.said["rows"], made.said["in_doubt"]) == (0, 12, 0), made.talk
    assert max(server.asked.values()) == 1


def test_only_what_an_expired_batch_left_over_is_asked_again(rehearsal, distill):
    server = rehearsal(batch_expired=0.4)
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert len(server.batches_created) > 2
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("fault", ["throttled", "server_error", "not_a_completion", "broken_json", "truncated"])
def test_the_rows_are_exact_whatever_goes_wrong_with_a_fifth_of_a_batch(rehearsal, distill, fault):
    server = rehearsal(**{fault: 0.2})
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk


def test_too_many_tokens_in_the_queue_are_waited_for(rehearsal, distill):
    server = rehearsal(batch_failed=0.4)
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk


def test_ctrl_c_leaves_the_batch_at_work_and_says_so(rehearsal, process, distill):
    server = rehearsal(batch_seconds=3)
    child = process(*at(server.url), "--batch")
    wait_for(lambda: server.batches_created)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, talk = child.communicate(timeout=10)
    assert child.returncode == 4, talk
    assert "goes on at the endpoint" in talk
    assert json.loads(out.splitlines()[-1])["path"] is None
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12)
    assert max(server.asked.values()) == 1


def test_a_batch_that_somebody_cancels_stops_the_run_and_the_next_goes_on(rehearsal, process, distill):
    server = rehearsal(batch_seconds=4)
    child = process(*at(server.url), "--batch")
    wait_for(lambda: server.batches_created)
    time.sleep(1)  # some of it is answered

    async def cancel():
        async with aiohttp.ClientSession(server.url.removesuffix("v1")) as session:
            async with session.get("v1/batches") as listed:
                (batch,) = (await listed.json())["data"]
            await session.post(f"v1/batches/{batch['id']}/cancel")

    asyncio.run(cancel())
    _, talk = child.communicate(timeout=20)
    assert child.returncode == 4, talk
    assert "was cancelled at the endpoint" in talk
    server.manners = server.manners.model_copy(update={"batch_seconds": 0.2})
    server._shop._manners = server.manners
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12)
    assert max(server.answered.values()) == 1


def test_results_that_break_off_are_read_again(rehearsal, serve, distill):
    server, cut = rehearsal(), []

    async def spoil(request, forward):
        answer = await forward()
        if request.path.endswith("/content") and len(cut) < 2:
            cut.append(request)
            half = web.StreamResponse(headers={"content-length": str(len(answer.body)), "x-suwen-rehearsal": "1"})
            await half.prepare(request)
            await half.write(answer.body[: len(answer.body) // 2])
            request.transport.close()
            return half
        return answer

    made = distill(*at(serve(passing_on(server, spoil)) + "/v1"), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert len(cut) == 2
    assert max(server.asked.values()) == 1


def test_a_batch_costs_what_the_endpoint_says_less_its_discount(rehearsal, distill):
    server = rehearsal()
    Path("suwen.toml").write_text(
        f'[endpoints.ward]\nbase_urls = ["{server.url}"]\nusd_per_million = [1, 2]\nbatch_discount = 0.5\n'
    )
    single = distill("--teacher", "rehearsal@ward", *SMALL, "--ledger", "single.sqlite")
    batched = distill("--teacher", "rehearsal@ward", *SMALL, "--batch", "--out", "batched")
    assert batched.said["usd"] == pytest.approx(single.said["usd"] / 2, abs=1e-6)
    planned = [distill("--teacher", "rehearsal@ward", *SMALL, "--dry-run", *flags).said for flags in ((), ("--batch",))]
    assert planned[1]["usd"] == pytest.approx(planned[0]["usd"] / 2)


def test_an_endpoint_without_batches_is_said_so(serve, distill):
    async def refuse(request):
        return web.json_response({"error": {"message": "Not Found"}}, status=404)

    refused = distill("--teacher", "m", "--base-url", f"{serve(refuse)}/v1", *SMALL, "--batch")
    assert refused.code == 2
    assert "--batch: " in refused.talk.splitlines()[-1]
    assert "answered 404" in refused.talk.splitlines()[-1]


def ward(url: str) -> tuple[object, ...]:
    """An endpoint at which 12 rows are dear."""
    Path("suwen.toml").write_text(f'[endpoints.ward]\nbase_urls = ["{url}"]\nusd_per_million = [100, 200]\n')
    return ("--teacher", "rehearsal@ward", *SMALL)


def attempts() -> dict[str, float]:
    """State -> dollars held under it in the ledger."""
    with closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        return dict(ledger.execute("SELECT state, SUM(usd) FROM attempts GROUP BY state").fetchall())


@pytest.mark.parametrize("then", [("--batch",), ()], ids=["batch", "single calls"])
def test_a_budget_that_an_unfetched_batch_fills_is_free_again_once_it_is_fetched(rehearsal, process, distill, then):
    server = rehearsal(batch_seconds=2)
    flags = (*ward(server.url), "--max-usd", 9)
    child = process(*flags, "--batch")
    wait_for(lambda: server.batches_created)
    child.kill()
    child.wait()
    made = distill(*flags, *then)
    assert (made.code, made.said["rows"]) == (0, 12), made.talk
    assert set(attempts()) == {"answered"}


def test_ctrl_c_ends_a_run_whose_calls_wait_for_the_budget(rehearsal, process):
    server = rehearsal(batch_seconds=60)
    flags = (*ward(server.url), "--batch")
    first = process(*flags)
    wait_for(lambda: server.batches_created)
    first.kill()
    first.wait()
    second = process(*flags, "--seed", 1, "--max-usd", round(attempts()["batched"] + 3, 2))
    wait_for(lambda: len(server.batches_created) > 1)
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=15) == 4


@pytest.mark.parametrize("answer", ["502 after it was created", "404 in between", "no file yet", "not a batch"])
def test_a_passing_oddity_of_the_endpoint_buys_nothing_twice(rehearsal, serve, distill, answer):
    server, odd = rehearsal(), []

    async def spoil(request, forward):
        batch = request.path.startswith("/v1/batches/") and request.method == "GET"
        made = await forward() if not (batch and answer == "404 in between" and not odd) else None
        if (
            answer == "502 after it was created"
            and request.path == "/v1/batches"
            and request.method == "POST"
            and not odd
        ):
            made = web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")
        elif batch and answer == "404 in between" and not odd:
            made = web.Response(status=404, text="<html>no backend</html>", content_type="text/html")
        elif batch and answer == "no file yet" and json.loads(made.body)["status"] == "completed" and not odd:
            made = web.json_response({**json.loads(made.body), "output_file_id": None})
        elif batch and answer == "not a batch" and not odd:
            made = web.json_response({"hello": 1})
        else:
            return made
        odd.append(answer)
        return made

    made = distill(*at(serve(passing_on(server, spoil)) + "/v1"), "--batch")
    assert (made.code, made.said["rows"], made.said["in_doubt"]) == (0, 12, 0), made.talk
    assert odd
    assert max(server.asked.values()) == max(server.batches_created.values()) == 1


def test_a_result_that_is_missing_is_in_doubt_and_asked_again(rehearsal, serve, distill):
    server, cut = rehearsal(), []

    async def spoil(request, forward):
        answer = await forward()
        if request.path.endswith("/content") and not cut:
            cut.append(request)
            return web.Response(body=answer.body.split(b"\n", 1)[1], headers={"x-suwen-rehearsal": "1"})
        return answer

    made = distill(*at(serve(passing_on(server, spoil)) + "/v1"), "--batch")
    assert (made.code, made.said["rows"], made.said["in_doubt"]) == (0, 12, 1), made.talk


def test_a_request_that_the_endpoint_refuses_from_the_first_stops_the_run_and_is_not_remembered(
    rehearsal, serve, distill
):
    server, bad = rehearsal(), [True]

    async def spoil(request, forward):
        answer = await forward()
        if not (request.path.endswith("/content") and bad):
            return answer
        refusal = {"status_code": 400, "request_id": "r", "body": {"error": {"message": "no response_format here"}}}
        lines = [{**json.loads(line), "response": refusal} for line in answer.body.split(b"\n") if line]
        return web.Response(body="\n".join(map(json.dumps, lines)).encode())

    url = serve(passing_on(server, spoil)) + "/v1"
    refused = distill(*at(url), "--batch")
    assert refused.code == 2
    assert "no response_format here" in refused.talk.splitlines()[-1]
    bad.clear()
    assert distill(*at(url), "--batch").said["rows"] == 12


def test_a_finished_run_leaves_no_batch_open(rehearsal, distill):
    server = rehearsal()
    distill(*at(server.url), "--batch")
    with closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT DISTINCT state FROM batches").fetchall() == [("done",)]


OLD_LEDGER = """
CREATE TABLE answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, refused INTEGER NOT NULL, body BLOB NOT NULL, rehearsal INTEGER NOT NULL,
  tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, usd REAL, at REAL NOT NULL);
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, account TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
  tokens INTEGER NOT NULL, usd REAL);
CREATE INDEX attempts_by_key ON attempts (key, state);
CREATE INDEX attempts_by_account ON attempts (account, state);
CREATE TABLE builds (digest TEXT PRIMARY KEY, watermark INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize(
    "half_done", ["", "ALTER TABLE attempts ADD COLUMN batch TEXT;"], ids=["whole", "half upgraded"]
)
def test_a_ledger_from_before_there_were_batches_is_brought_up_to_date(rehearsal, distill, half_done):
    server = rehearsal()
    Path(".suwen").mkdir()
    with closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        ledger.executescript(OLD_LEDGER + half_done)
    made = distill(*at(server.url), "--batch")
    assert (made.code, made.said["rows"]) == (0, 12), made.talk


def test_the_budget_holds_in_batches_too_and_goes_on_when_it_is_raised(rehearsal, distill):
    server = rehearsal()
    flags = (*ward(server.url), "--batch")
    stopped = distill(*flags, "--max-usd", 4)
    assert stopped.code == 4, stopped.talk
    assert "--max-usd 4" in stopped.talk
    assert stopped.said["usd"] <= 4
    assert distill(*flags).said["rows"] == 12
    assert max(server.asked.values()) == 1


def test_rows_of_a_rehearsed_batch_are_marked(rehearsal, distill):
    distill(*at(rehearsal().url), "--batch")
    made = polars.read_parquet("set/distilled_instructions/*.parquet")
    assert made["provenance"].struct.field("rehearsal").all()


@pytest.mark.slow
def test_whoever_waits_for_a_batch_that_cannot_be_fetched_is_not_left_waiting(rehearsal, serve, process, distill):
    server, broken = rehearsal(batch_seconds=60), []

    async def spoil(request, forward):
        if broken and request.path.startswith("/v1/batches"):
            return web.json_response({"error": {"message": "down"}}, status=503)
        return await forward()

    url = serve(passing_on(server, spoil)) + "/v1"
    child = process(*at(url), "--batch")
    wait_for(lambda: server.batches_created)
    child.kill()
    child.wait()
    broken.append(True)
    lost = distill(*at(url))
    assert lost.code == 4, lost.talk
    assert "answered 503: down (8 attempts)" in lost.talk
