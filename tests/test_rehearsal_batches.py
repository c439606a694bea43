"""Batches at the rehearsal teacher, through the real OpenAI client: what is left with it, and what becomes of it."""

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from builders.engine.rehearsal.faults import FAULTS, Manners
from builders.engine.rehearsal.server import Rehearsal
from schemas.base import canonical

ROOT = Path(__file__).resolve().parent.parent
MARK = "x-suwen-rehearsal"
HIVES = "慢性荨麻疹老是反复，怎么办？"
OVER = {"completed", "failed", "expired", "cancelled"}
TRIPLETS = {
    "type": "json_schema",
    "json_schema": {"name": "T", "schema": {"properties": {"triplets": {"type": "array"}}}},
}
Client = openai.AsyncOpenAI


@contextlib.asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Client]:
    """A client as the engine makes it: no retries of its own, on aiohttp."""
    http = openai.DefaultAioHttpClient(trust_env=False)
    async with Client(base_url=url, api_key="none", max_retries=0, timeout=20, http_client=http) as client:
        yield client


def at(server: Rehearsal, visit: Callable[[Client], Awaitable[Any]]) -> Any:
    """What a visit brings home from a server."""

    async def go() -> Any:
        async with client_of(server.url) as client:
            return await visit(client)

    return asyncio.run(go())


def body(said: str = HIVES, **more: Any) -> dict[str, Any]:
    return {"model": "rehearsal", "messages": [{"role": "user", "content": said}], **more}


def key(asked: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(asked).encode()).hexdigest()


def line(custom_id: str, asked: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": asked}


def questions(count: int, **more: Any) -> dict[str, dict[str, Any]]:
    """Different requests by custom id."""
    return {f"q{number}": body(f"第 {number} 问：发烧怎么办？", **more) for number in range(count)}


def file_of(requests: dict[str, dict[str, Any]]) -> str:
    return "".join(json.dumps(line(id, asked), ensure_ascii=False) + "\n" for id, asked in requests.items())


async def upload(client: Client, text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    return (await client.files.create(file=("requests.jsonl", data), purpose="batch")).id


async def create(client: Client, text: str | bytes, **more: Any) -> Any:
    id = await upload(client, text)
    order = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return await client.batches.create(input_file_id=id, **order)


async def polled(client: Client, id: str) -> AsyncIterator[Any]:
    """The batch, again and again until it is over."""
    while True:
        batch = await client.batches.retrieve(id)
        yield batch
        if batch.status in OVER:
            return
        await asyncio.sleep(0.01)


async def ended(client: Client, id: str) -> Any:
    """The batch when it is over."""
    return [batch async for batch in polled(client, id)][-1]


async def lines_of(client: Client, id: str | None) -> list[dict[str, Any]]:
    if id is None:
        return []
    return [json.loads(text) for text in (await client.files.content(id)).content.splitlines()]


async def run(client: Client, requests: dict[str, dict[str, Any]]) -> tuple[Any, list[Any], list[Any]]:
    """A batch that is over, the lines of its output and those of its errors."""
    batch = await ended(client, (await create(client, file_of(requests))).id)
    return batch, await lines_of(client, batch.output_file_id), await lines_of(client, batch.error_file_id)


def ids(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [one["custom_id"] for one in lines]


def faults_of(server: Rehearsal, text: str | bytes) -> list[tuple[str, int | None, str | None]]:
    """Code, line and field of every fault that an input file is failed for."""

    async def visit(client: Client) -> Any:
        return await ended(client, (await create(client, text)).id)

    batch = at(server, visit)
    assert (batch.status, batch.errors.object, batch.request_counts.total) == ("failed", "list", 0)
    assert batch.failed_at
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert all(fault.message for fault in batch.errors.data)
    return [(fault.code, fault.line, fault.param) for fault in batch.errors.data]


def test_a_file_is_kept_shown_and_deleted(rehearsal):
    text = file_of(questions(2)).encode()

    async def visit(client):
        stored = await client.files.create(file=("first.jsonl", text), purpose="batch")
        assert (stored.object, stored.filename, stored.purpose) == ("file", "first.jsonl", "batch")
        assert (stored.bytes, stored.status) == (len(text), "processed")
        assert abs(stored.created_at - time.time()) < 5
        assert await client.files.retrieve(stored.id) == stored
        assert (await client.files.content(stored.id)).content == text
        assert (await client.files.delete(stored.id)).deleted
        with pytest.raises(openai.NotFoundError, match=stored.id):
            await client.files.retrieve(stored.id)
        with pytest.raises(openai.NotFoundError):
            await client.files.content(stored.id)
        with pytest.raises(openai.NotFoundError):
            await client.files.delete(stored.id)

    at(rehearsal(), visit)


def test_the_same_text_uploaded_twice_is_two_files(rehearsal):
    async def visit(client):
        return {await upload(client, "{}") for _ in range(2)}

    assert len(at(rehearsal(), visit)) == 2


def test_an_upload_for_a_batch_is_named_jsonl(rehearsal):
    async def visit(client):
        with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
            await client.files.create(file=file_of(questions(1)).encode(), purpose="batch")  # the SDK calls it "upload"

    at(rehearsal(), visit)


def test_every_request_of_a_batch_is_answered_under_its_custom_id(rehearsal):
    requests = questions(20)
    server = rehearsal()
    batch, output, errors = at(server, lambda client: run(client, requests))
    assert (batch.status, batch.model, batch.errors, batch.error_file_id) == ("completed", "rehearsal", None, None)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (20, 20, 0)
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    assert batch.expires_at == batch.created_at + 86400
    assert errors == []
    assert set(ids(output)) == set(requests)
    assert len({one["id"] for one in output}) == len(output) == 20
    for one in output:
        assert set(one) == {"id", "custom_id", "response", "error"}
        assert (one["error"], one["response"]["status_code"]) == (None, 200)
        assert one["response"]["request_id"]
        assert one["response"]["body"]["choices"][0]["finish_reason"] == "stop"


def test_an_answer_is_the_same_online_and_in_a_batch(rehearsal):
    requests = {"free": body(), "seeded": body(seed=3), "structured": body(response_format=TRIPLETS)}

    async def visit(client):
        online = {id: await client.chat.completions.create(**asked) for id, asked in requests.items()}
        return online, (await run(client, requests))[1]

    online, output = at(rehearsal(), visit)
    for one in output:
        assert one["response"]["body"] == online[one["custom_id"]].model_dump(exclude_unset=True)


def test_results_come_in_an_order_of_their_own(rehearsal):
    requests = questions(30)
    orders = [ids(at(rehearsal(), lambda client: run(client, requests))[1]) for _ in range(2)]
    assert orders[0] != list(requests)
    assert orders[0] == orders[1]


def test_a_batch_goes_through_its_stages_and_takes_its_time(rehearsal):
    async def visit(client):
        created = await create(client, file_of(questions(10)))
        started, seen, done = time.monotonic(), [created.status], [0]
        async for batch in polled(client, created.id):
            assert (batch.output_file_id is None) == (batch.status != "completed")
            seen.append(batch.status)
            done.append(batch.request_counts.completed)
        return list(dict.fromkeys(seen)), done, time.monotonic() - started

    seen, done, took = at(rehearsal(batch_seconds=0.8), visit)
    assert seen == ["validating", "in_progress", "finalizing", "completed"]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert 0.7 < took < 3.0


def test_creating_a_batch_does_not_wait_for_its_answers(rehearsal):
    async def visit(client):
        id = await upload(client, file_of(questions(300)))
        started = time.monotonic()
        order = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = await client.batches.create(input_file_id=id, **order)
        took = time.monotonic() - started
        assert (batch.status, batch.request_counts.total) == ("validating", 0)
        return took, server.asked.total(), server.answered.total()

    server = rehearsal(batch_seconds=60)
    took, asked, answered = at(server, visit)
    assert took < 0.5
    assert (asked, answered) == (300, 0)


def test_chat_goes_on_while_a_large_batch_is_answered():
    async def go():
        async with Rehearsal(Manners(batch_seconds=0)) as server, client_of(server.url) as client:
            created = await create(client, file_of(questions(1000)))
            statuses = polled(client, created.id)
            return [await client.chat.completions.create(**body()) async for one in statuses if one.status not in OVER]

    assert len(asyncio.run(go())) > 3


def test_a_request_counts_as_one_online_and_in_a_batch(rehearsal):
    requests = questions(3)
    server = rehearsal()

    async def visit(client):
        for asked in requests.values():
            await client.chat.completions.create(**asked)
        shuffled = {id: dict(reversed(asked.items())) for id, asked in requests.items()}
        await run(client, shuffled)

    at(server, visit)
    assert server.asked == server.answered == {key(asked): 2 for asked in requests.values()}


def test_what_is_no_json_is_counted_by_its_bytes(rehearsal):
    server = rehearsal()
    assert httpx2.post(f"{server.url}/chat/completions", content=b"{", trust_env=False).status_code == 400
    assert server.asked == {hashlib.sha256(b"{").hexdigest(): 1}
    assert not server.answered


def test_batches_are_counted_by_the_name_in_their_metadata(rehearsal):
    server = rehearsal()

    async def visit(client):
        for name in ("a", "b", "a"):
            metadata = {"suwen": name, "run": "1"}
            batch = await create(client, file_of(questions(1)), metadata=metadata)
            assert batch.metadata == metadata
        assert (await create(client, file_of(questions(1)))).metadata is None
        with pytest.raises(openai.BadRequestError):
            await create(client, file_of(questions(1)), endpoint="/v1/embeddings")

    at(server, visit)
    assert server.batches_created == {"a": 2, "b": 1, "": 1}
    stats = httpx2.get(server.url.removesuffix("/v1") + "/stats", trust_env=False).json()
    assert stats["batches_created"] == {"a": 2, "b": 1, "": 1}
    assert stats["asked"] == server.asked
    assert set(stats) == {"asked", "answered", "most_in_flight", "batches_created"}


def test_batches_are_listed_newest_first_in_pages(rehearsal):
    async def visit(client):
        created = [(await create(client, file_of(questions(1)))).id for _ in range(5)]
        first = await client.batches.list(limit=2)
        assert ([batch.id for batch in first.data], first.has_more) == (created[:2:-1], True)
        last = await client.batches.list(limit=2, after=created[1])
        assert ([batch.id for batch in last.data], last.has_more) == ([created[0]], False)
        assert [batch.id async for batch in client.batches.list(limit=2)] == created[::-1]
        with pytest.raises(openai.BadRequestError, match="limit"):
            await client.batches.list(limit=101)

    at(rehearsal(), visit)


def test_no_batches_are_an_empty_list(rehearsal):
    async def visit(client):
        page = await client.batches.list()
        assert (page.data, page.has_more) == ([], False)

    at(rehearsal(), visit)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        ({"custom_id": "q0"}, ("duplicate_custom_id", 2, "custom_id")),
        ({"custom_id": None}, ("invalid_request", 2, "custom_id")),
        ({"url": "/v1/embeddings"}, ("invalid_url", 2, "url")),
        ({"method": "GET"}, ("invalid_request", 2, "method")),
        ({"body": {"model": "rehearsal"}}, ("invalid_request", 2, "body.messages")),
        ({"body": body() | {"model": "another"}}, ("mismatched_model", 2, "body.model")),
        ({"body": body(stream=True)}, ("streaming_unsupported", 2, "body.stream")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_batch_with_a_wrong_line_fails_and_says_which(rehearsal, spoil, fault):
    text = file_of({"q0": body()}) + json.dumps(line("q1", body("痛风能吃豆腐吗？")) | spoil)
    server = rehearsal()
    assert faults_of(server, text) == [fault]
    assert not server.asked


def test_a_batch_fails_for_every_wrong_line_and_for_nothing_else(rehearsal):
    good = file_of({"q0": body()})
    missing = json.dumps({"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions"})
    text = f"{good}{{no json\n\n{missing}\n[]\n"
    assert faults_of(rehearsal(), text) == [
        ("invalid_json_line", 2, None),
        ("missing_required_parameter", 4, "body"),
        ("invalid_json_line", 5, None),
    ]
    assert faults_of(rehearsal(), "\n") == [("empty_file", None, None)]


def test_a_batch_of_a_file_that_is_not_there_fails(rehearsal):
    async def visit(client):
        order = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = await client.batches.create(input_file_id="file-lost", **order)
        return await ended(client, batch.id)

    batch = at(rehearsal(), visit)
    assert (batch.status, batch.errors.data[0].code) == ("failed", "invalid_request")


def test_a_batch_has_at_most_fifty_thousand_requests(rehearsal):
    assert faults_of(rehearsal(), "{}\n" * 50_001) == [("too_many_tasks", None, None)]


@pytest.mark.parametrize(
    "order",
    [{"completion_window": "1h"}, {"endpoint": "/v1/nothing"}, {"metadata": {"suwen": "n" * 513}}],
    ids=lambda order: next(iter(order)),
)
def test_an_order_the_api_does_not_take_is_refused_at_once(rehearsal, order):
    async def visit(client):
        with pytest.raises(openai.BadRequestError) as refused:
            await create(client, file_of(questions(1)), **order)
        return refused.value

    server = rehearsal()
    refused = at(server, visit)
    assert next(iter(order)) in refused.message
    assert refused.type == "invalid_request_error"
    assert not server.batches_created


def test_a_batch_that_is_not_there_is_not_found(rehearsal):
    async def visit(client):
        for call in (client.batches.retrieve, client.batches.cancel):
            with pytest.raises(openai.NotFoundError, match="No batch found"):
                await call("batch_lost")

    at(rehearsal(), visit)


def test_a_cancelled_batch_keeps_what_is_answered_and_lists_the_rest_as_errors(rehearsal):
    requests = questions(20)
    server = rehearsal(batch_seconds=2)

    async def visit(client):
        created = await create(client, file_of(requests))
        async for batch in polled(client, created.id):
            if batch.request_counts.completed >= 2:
                break
        cancelling = await client.batches.cancel(created.id)
        assert (cancelling.status, cancelling.output_file_id) == ("cancelling", None)
        assert cancelling.cancelling_at
        over = await ended(client, created.id)
        assert (await client.batches.cancel(created.id)) == over
        return over, await lines_of(client, over.output_file_id), await lines_of(client, over.error_file_id)

    batch, output, errors = at(server, visit)
    assert (batch.status, batch.completed_at) == ("cancelled", None)
    assert batch.cancelled_at
    assert 2 <= len(output) < 20
    assert (batch.request_counts.total, batch.request_counts.completed) == (20, len(output))
    assert batch.request_counts.failed == 0
    assert sorted(ids(output) + ids(errors)) == sorted(requests)
    assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}
    assert server.answered == {key(requests[id]): 1 for id in ids(output)}


def test_a_batch_that_is_over_cannot_be_cancelled(rehearsal):
    async def visit(client):
        batch, _, _ = await run(client, questions(1))
        with pytest.raises(openai.ConflictError, match="'completed'"):
            await client.batches.cancel(batch.id)

    at(rehearsal(), visit)


def test_what_an_expired_batch_finished_is_in_its_output_and_the_rest_in_its_errors(rehearsal):
    requests = questions(200)
    server = rehearsal(batch_expired=0.3)
    batch, output, errors = at(server, lambda client: run(client, requests))
    assert batch.status == "expired"
    assert batch.expired_at
    assert 40 <= len(errors) <= 80  # 60 expected; three sigma: 3 * √(200 * 0.3 * 0.7) = 19.4
    assert sorted(ids(output) + ids(errors)) == sorted(requests)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (200, len(output), 0)
    assert {(one["response"], one["error"]["code"]) for one in errors} == {(None, "batch_expired")}
    assert server.asked == {key(asked): 1 for asked in requests.values()}
    assert server.answered == {key(requests[id]): 1 for id in ids(output)}


def test_what_expired_is_answered_when_it_is_asked_again(rehearsal):
    async def visit(client):
        wanted, rounds = questions(40), 0
        while wanted:
            _, _, errors = await run(client, wanted)
            wanted = {id: wanted[id] for id in ids(errors)}
            rounds += 1
        return rounds

    server = rehearsal(batch_expired=0.4, batch_seconds=0)
    assert 2 <= at(server, visit) <= 12
    assert set(server.answered.values()) == {1}
    assert at(rehearsal(batch_expired=0.4, batch_seconds=0), visit) == max(server.asked.values())


def test_a_batch_of_which_everything_expired_has_no_output(rehearsal):
    batch, output, errors = at(rehearsal(batch_expired=1), lambda client: run(client, questions(3)))
    assert (batch.status, batch.output_file_id, output) == ("expired", None, [])
    assert len(errors) == 3


def test_a_share_of_batches_fails_the_first_of_them_and_none_for_good(rehearsal):
    async def visit(client):
        return [(await run(client, questions(2)))[0] for _ in range(6)]

    server = rehearsal(batch_failed=0.5, batch_seconds=0)
    batches = at(server, visit)
    assert [batch.status for batch in batches] == ["failed", "completed"] * 3
    assert [(fault.code, fault.line) for fault in batches[0].errors.data] == [("token_limit_exceeded", None)]
    assert batches[0].request_counts.total == 0
    assert (server.asked.total(), server.answered.total()) == (12, 6)


@pytest.mark.parametrize(("fault", "status"), [("throttled", 429), ("server_error", 503)])
def test_a_request_refused_in_a_batch_stands_among_the_errors_with_its_status(rehearsal, fault, status):
    server = rehearsal(**{fault: 0.5})
    batch, output, errors = at(server, lambda client: run(client, questions(40)))
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (len(output), len(errors))
    assert 10 <= len(errors) <= 30
    for one in errors:
        assert (one["error"], one["response"]["status_code"]) == (None, status)
        assert str(status) in one["response"]["body"]["error"]["message"]
    assert server.answered.total() == len(output)


def test_a_request_that_is_no_chat_request_stands_among_the_errors(rehearsal):
    requests = {"good": body(), "odd": body() | {"messages": [{"role": "user"}]}}
    batch, output, errors = at(rehearsal(), lambda client: run(client, requests))
    assert (batch.status, ids(output), ids(errors)) == ("completed", ["good"], ["odd"])
    assert errors[0]["response"]["status_code"] == 400


@pytest.mark.parametrize("fault", ["broken_json", "truncated", "not_a_completion", "flawed_item"])
def test_an_answer_is_spoilt_in_a_batch_as_it_is_online(rehearsal, fault):
    asked = body("请按要求出题。", response_format=TRIPLETS)

    async def visit(client):
        online = await client.chat.completions.with_raw_response.create(**asked)
        return json.loads(online.http_response.content), (await run(client, {"q": asked}))[1]

    online, output = at(rehearsal(**{fault: 1.0}), visit)
    assert output[0]["response"] == {**output[0]["response"], "status_code": 200, "body": online}
    assert online != at(rehearsal(), visit)[0]


@pytest.mark.parametrize("fault", ["cut", "slow_body"])
def test_a_connection_cannot_fail_within_a_batch(rehearsal, fault):
    batch, output, errors = at(rehearsal(**{fault: 1.0}), lambda client: run(client, questions(3)))
    assert (batch.status, len(output), errors) == ("completed", 3, [])


def test_what_only_batches_do_wrong_does_not_count_among_the_other_shares():
    manners = Manners(throttled=0.6, cut=0.4, batch_expired=0.5, batch_failed=0.5)
    assert not {"batch_expired", "batch_failed"} & set(FAULTS)
    assert all(fault in Manners.model_fields for fault in FAULTS)
    with pytest.raises(ValueError, match="add up"):
        Manners(**manners.model_dump() | {"cut": 0.5})


def test_whatever_is_said_about_files_and_batches_is_marked_by_a_header(rehearsal):
    async def visit(client):
        raw, files = client.batches.with_raw_response, client.files.with_raw_response
        upload = await files.create(file=("r.jsonl", file_of(questions(1)).encode()), purpose="batch")
        order = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        created = await raw.create(input_file_id=upload.parse().id, **order)
        over = await ended(client, created.parse().id)
        with pytest.raises(openai.ConflictError) as refused:
            await client.batches.cancel(over.id)
        answers = [upload, created, refused.value.response, await raw.retrieve(over.id), await raw.list()]
        answers += [await files.content(over.output_file_id), await files.retrieve(over.output_file_id)]
        return [answer.headers for answer in [*answers, await files.delete(over.output_file_id)]]

    server = rehearsal()
    for headers in at(server, visit):
        assert headers[MARK] == "1"
    lost = httpx2.get(f"{server.url}/nothing", trust_env=False)
    assert (lost.status_code, lost.headers[MARK]) == (404, "1")


def test_results_can_be_read_as_they_stream_in(rehearsal):
    async def visit(client):
        batch, output, _ = await run(client, questions(60))
        async with client.files.with_streaming_response.content(batch.output_file_id) as response:
            assert response.headers[MARK] == "1"
            return output, [chunk async for chunk in response.iter_bytes()]

    output, chunks = at(rehearsal(batch_seconds=0), visit)
    assert len(chunks) > 1
    assert [json.loads(text) for text in b"".join(chunks).split(b"\n") if text] == output


def test_a_server_stops_with_batches_at_work(rehearsal):
    async def go():
        async with Rehearsal(Manners(batch_seconds=60)) as server, client_of(server.url) as client:
            await create(client, file_of(questions(3)))
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(go()) == []


def test_the_manners_of_batches_are_set_on_the_command_line():
    flags = ("--batch-seconds", "0", "--batch-expired", "1", "--batch-failed", "0.5")
    command = [sys.executable, "-m", "builders.engine.rehearsal", *flags]

    async def visit(url):
        async with client_of(url) as client:
            return [(await run(client, questions(1)))[0].status for _ in range(2)]

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert asyncio.run(visit(json.loads(process.stdout.readline())["url"])) == ["failed", "expired"]
        finally:
            process.kill()
