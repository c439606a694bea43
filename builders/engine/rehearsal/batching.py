"""The rehearsal's batch shop: files left with it, the batches made of them, and how these get on over time.

A line of an input file, and its line in the output file:

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}
    {"id": "batch_req_…", "custom_id": "a", "response": {"status_code": 200, "request_id": "req_…", "body": …}, "error": null}

What OpenAI does where its documentation is silent is done here as it has been observed there: a missing input file
fails the batch, requests left over are not counted as failed, and a cancelled batch can be cancelled again.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from builders.engine.rehearsal.batch_input import Fault, Line, read
from builders.engine.rehearsal.faults import Manners, Turn, refused, turn, unfinished

MOST_BYTES = 200_000_000
KEPT_SECONDS = 30 * 86400
"""How long files are said to be kept."""
WINDOW_SECONDS = 86400
VALIDATING, FINALIZING = 0.1, 0.9
"""Shares of a batch's time at which it is validated, and at which its requests are through."""
CANCELLING_SECONDS = 0.05
STATUSES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
"""All that a batch can enter."""
LEFT_OVER = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "This request was not executed because the batch was cancelled.",
}
"""What is said of requests without a response, by how their batch ends."""
TOO_MANY_TOKENS = "Enqueued token limit reached. Please try again once some in_progress batches have been completed."

Respond = Callable[[bytes, str, Turn], tuple[int, dict[str, Any]]]
"""From a request's body, key and fate to the status and the body of the response."""


class Refusal(Exception):
    """A call that the API answers with an error."""

    def __init__(self, status: int, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param = status, param


class Order(BaseModel):
    """What the creator of a batch sends."""

    input_file_id: str
    endpoint: Literal["/v1/chat/completions"]
    completion_window: Literal["24h"]
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )


class File(NamedTuple):
    """A file that somebody has uploaded, or a batch has written."""

    id: str
    data: bytes
    name: str
    purpose: str
    created_at: int

    def described(self) -> dict[str, Any]:
        """The file as the API shows it."""
        head = {"id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.created_at}
        expiry = {"expires_at": self.created_at + KEPT_SECONDS, "status": "processed", "status_details": None}
        return {**head, "filename": self.name, "purpose": self.purpose, **expiry}


class Batch:
    """A batch, from its creation to its end."""

    def __init__(self, id: str, order: Order, lines: list[Line], faults: list[Fault]) -> None:
        self.id = id
        self.order = order
        self.faults = faults
        self.total = len(lines)
        self.model = json.loads(lines[0].body)["model"] if lines else None
        self.waiting = {line.custom_id: line for line in random.Random(id).sample(lines, len(lines))}
        """Requests that have no response, in the order in which they get one, which is not that of the file."""
        self.status = "validating"
        self.moments = {"created_at": int(time.time())}
        self.output: list[bytes] = []
        self.errors: list[bytes] = []
        self.answered: list[str] = []
        """Keys of the requests that have a whole completion."""
        self.files: dict[str, str] = {}

    def enter(self, status: str) -> None:
        """Go on to this status."""
        self.status = status
        self.moments[f"{status}_at"] = int(time.time())

    def respond(self, line: Line, status: int, body: dict[str, Any]) -> None:
        """A request has got its response."""
        del self.waiting[line.custom_id]
        tag = _tag(self.id, line.custom_id)
        response = {"status_code": status, "request_id": f"req_{tag}", "body": body}
        (self.output if status == 200 else self.errors).append(self._record(line, response=response))
        if "choices" in body:
            self.answered.append(line.key)

    def left_over(self) -> list[bytes]:
        """Lines for the file of errors, of the requests that got no response before the batch ended."""
        return [
            self._record(line, error={"code": f"batch_{self.status}", "message": LEFT_OVER[self.status]})
            for line in self.waiting.values()
        ]

    def _record(self, line: Line, *, response: Any = None, error: Any = None) -> bytes:
        head = {"id": f"batch_req_{_tag(self.id, line.custom_id)}", "custom_id": line.custom_id}
        text = json.dumps({**head, "response": response, "error": error}, ensure_ascii=False)
        return text.encode(errors="replace") + b"\n"

    def described(self) -> dict[str, Any]:
        """The batch as the API shows it."""
        valid = self.status not in ("validating", "failed")
        total = self.total if valid else 0
        faults = {"object": "list", "data": [fault._asdict() for fault in self.faults]}
        moments = {**dict.fromkeys(f"{status}_at" for status in STATUSES), **self.moments}
        return {
            **self.order.model_dump(),
            **moments,
            "id": self.id,
            "object": "batch",
            "status": self.status,
            "model": self.model if valid else None,
            "errors": faults if self.status == "failed" else None,
            "expires_at": self.moments["created_at"] + WINDOW_SECONDS,
            "output_file_id": self.files.get("output"),
            "error_file_id": self.files.get("error"),
            "request_counts": {"total": total, "completed": len(self.output), "failed": len(self.errors)},
        }


class Shop:
    """All files and batches of a server."""

    def __init__(self, manners: Manners, respond: Respond, asked: Counter[str], answered: Counter[str]) -> None:
        self._manners = manners
        self._respond = respond
        self._asked = asked
        self._answered = answered
        self._files: dict[str, File] = {}
        self._batches: dict[str, Batch] = {}
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._stored = 0

    async def close(self) -> None:
        """Stop all work."""
        for task in self._at_work.values():
            task.cancel()
        await asyncio.gather(*self._at_work.values(), return_exceptions=True)

    def store(self, data: bytes, name: str, purpose: str) -> File:
        """Keep a file. What it is named by depends on what it says and how many came before it."""
        if purpose == "batch" and not name.endswith(".jsonl"):
            raise Refusal(400, f"Invalid file format for Batch API. Must be .jsonl, got {name!r}")
        if purpose == "batch" and len(data) > MOST_BYTES:
            raise Refusal(400, f"File is too large: {len(data)} bytes of at most {MOST_BYTES}")
        self._stored += 1
        id = f"file-{_tag(str(self._stored), hashlib.sha256(data).hexdigest())}"
        self._files[id] = File(id, data, name, purpose, int(time.time()))
        return self._files[id]

    def file(self, id: str) -> File:
        """A file that is kept."""
        if id not in self._files:
            raise Refusal(404, f"No such File object: {id}", param="id")
        return self._files[id]

    def delete(self, id: str) -> None:
        """Keep a file no longer; a batch that was made of it goes on."""
        del self._files[self.file(id).id]

    async def create(self, order: Order) -> Batch:
        """Start a batch. Its requests are asked now, and answered in its time."""
        found = self._files.get(order.input_file_id)
        data = found.data if found and found.purpose == "batch" else None
        lines, faults = await asyncio.to_thread(read, data)  # the largest file takes seconds
        number = len(self._batches) + 1
        if lines and refused(self._manners, number):
            faults.append(Fault("token_limit_exceeded", TOO_MANY_TOKENS))
        batch = Batch(f"batch_{_tag(str(number), order.model_dump_json())}", order, [*map(self._ask, lines)], faults)
        self._batches[batch.id] = batch
        self._at_work[batch.id] = asyncio.create_task(self._work(batch))
        return batch

    def batch(self, id: str) -> Batch:
        """A batch that was created here."""
        if id not in self._batches:
            raise Refusal(404, f"No batch found with id {id!r}.")
        return self._batches[id]

    def page(self, limit: int, after: str | None) -> tuple[list[Batch], bool]:
        """The newest batches, or those older than `after`, and whether there are more."""
        newest = list(reversed(self._batches.values()))
        start = newest.index(self.batch(after)) + 1 if after else 0
        return newest[start : start + limit], len(newest) > start + limit

    def cancel(self, id: str) -> Batch:
        """Let no further request of a batch be answered; what is answered is kept."""
        batch = self.batch(id)
        if batch.status in ("validating", "in_progress"):
            self._at_work[id].cancel()
            batch.enter("cancelling")
            self._at_work[id] = asyncio.create_task(self._wind_up(batch))
        elif batch.status not in ("cancelling", "cancelled"):
            raise Refusal(409, f"Cannot cancel a batch with status {batch.status!r}.")
        return batch

    def _ask(self, line: Line) -> Line:
        self._asked[line.key] += 1
        return line._replace(attempt=self._asked[line.key])

    async def _work(self, batch: Batch) -> None:
        start, span = asyncio.get_running_loop().time(), self._manners.batch_seconds
        await _until(start + VALIDATING * span)
        if batch.faults:
            batch.enter("failed")
            return
        batch.enter("in_progress")
        pace = (FINALIZING - VALIDATING) * span / batch.total
        for place, line in enumerate(list(batch.waiting.values()), start=1):
            await _until(start + VALIDATING * span + place * pace)
            if not unfinished(self._manners, line.body, line.attempt):
                fate = turn(self._manners, line.body, line.attempt)
                batch.respond(line, *self._respond(line.body, line.key, fate))
        batch.enter("finalizing")
        await _until(start + span)
        self._end(batch, "expired" if batch.waiting else "completed")

    async def _wind_up(self, batch: Batch) -> None:
        await asyncio.sleep(CANCELLING_SECONDS)
        self._end(batch, "cancelled")

    def _end(self, batch: Batch, status: str) -> None:
        """Bring out the results, and say so in the same moment."""
        batch.enter(status)
        for kind, lines in (("output", batch.output), ("error", [*batch.errors, *batch.left_over()])):
            if lines:
                stored = self.store(b"".join(lines), f"{batch.id}_{kind}.jsonl", "batch_output")
                batch.files[kind] = stored.id
        self._answered.update(batch.answered)


def _tag(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode(errors="replace")).hexdigest()[:24]


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
