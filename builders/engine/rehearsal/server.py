"""The HTTP side of the rehearsal teacher: chat completions, files and batches, models, and a /stats page for tests."""

import asyncio
import contextlib
import hashlib
import json
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from builders.engine.rehearsal.batch_input import canonical_body
from builders.engine.rehearsal.batching import Order, Refusal, Shop
from builders.engine.rehearsal.faults import Manners, Turn, turn
from builders.engine.rehearsal.replies import reply
from builders.engine.teacher import REHEARSAL_HEADER

LARGEST_UPLOAD = 256 * 2**20
SLOW_BODY_SECONDS = 1.0


class Rehearsal:
    """A running rehearsal teacher on the loopback interface; use as an async context manager, then ask `url`."""

    def __init__(self, manners: Manners | None = None, *, port: int = 0) -> None:
        self.manners = manners or Manners()
        self._port = port
        self.asked: Counter[str] = Counter()
        """SHA-256 of each request's canonical JSON -> how often it came, online or in a batch that was created."""
        self.answered: Counter[str] = Counter()
        """The same -> how often a whole completion was sent for it, or stands in the output file of a batch."""
        self.in_flight = 0
        self.most_in_flight = 0
        self.batches_created: Counter[str] = Counter()
        """`suwen` in the metadata, or "" -> how many batches were created with it."""

    async def __aenter__(self) -> "Rehearsal":
        self._shop = Shop(self.manners, self._response, self.asked, self.answered)
        app = web.Application(client_max_size=LARGEST_UPLOAD, middlewares=[_refusals])
        app.on_response_prepare.append(_marked)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.post("/v1/files", self._upload),
                web.get("/v1/files/{id}", self._file),
                web.get("/v1/files/{id}/content", self._content),
                web.delete("/v1/files/{id}", self._delete),
                web.post("/v1/batches", self._create),
                web.get("/v1/batches", self._batches),
                web.get("/v1/batches/{id}", self._batch),
                web.post("/v1/batches/{id}/cancel", self._cancel),
                web.get("/stats", self._stats),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._shop.close()

    @property
    def url(self) -> str:
        """Base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        key = request_key(body)
        self.asked[key] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fate = turn(self.manners, body, self.asked[key])
            await asyncio.sleep(fate.delay)
            status, said = self._response(body, key, fate)
            if status == 200 and fate.fault in ("cut", "slow_body"):
                return await self._trickle(http, said, fate, key)
            if "choices" in said:
                self.answered[key] += 1
            headers = {"retry-after": f"{self.manners.retry_after:g}"} if status == 429 else None
            return web.json_response(said, status=status, headers=headers)
        finally:
            self.in_flight -= 1

    def _response(self, body: bytes, key: str, fate: Turn) -> tuple[int, dict[str, Any]]:
        """Status and body of the response to a request, online or in a batch."""
        try:
            request = json.loads(body)
            text = reply(request, length=self.manners.answer_chars, obey=self.manners.obey)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as wrong:
            return 400, {"error": {"message": f"not a chat request: {type(wrong).__name__}: {wrong}"}}
        if fate.fault == "throttled":
            return 429, {"error": {"message": "rehearsed 429"}}
        if fate.fault == "server_error":
            return 503, {"error": {"message": "rehearsed 503"}}
        if fate.fault == "not_a_completion":
            return 200, {"detail": "rehearsed oddity"}
        cut = fate.fault == "truncated"
        return 200, self._completion(request, spoilt(text, fate), key, cut=cut)

    def _completion(self, request: dict[str, Any], text: str, key: str, *, cut: bool) -> dict[str, Any]:
        prompt = sum(len(message["content"]) for message in request["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(text), "total_tokens": prompt + len(text)}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "length" if cut else "stop",
        }
        head = {"id": f"rehearsal-{key[:16]}", "object": "chat.completion", "created": 0, "model": request["model"]}
        return {**head, "choices": [choice], "usage": usage}

    async def _trickle(self, http: web.Request, completion: dict[str, Any], fate: Turn, key: str) -> web.StreamResponse:
        data = json.dumps(completion).encode()
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(data))})
        await response.prepare(http)
        await response.write(data[: len(data) // 2])
        if fate.fault == "cut":
            assert http.transport is not None
            http.transport.close()
            return response
        await asyncio.sleep(SLOW_BODY_SECONDS)
        await response.write(data[len(data) // 2 :])
        self.answered[key] += 1
        return response

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "rehearsal", "object": "model"}]})

    async def _upload(self, http: web.Request) -> web.Response:
        form = await http.post()
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, web.FileField) or not isinstance(purpose, str):
            raise Refusal(400, "an upload has a file and a purpose")
        return web.json_response(self._shop.store(file.file.read(), file.filename, purpose).described())

    async def _file(self, http: web.Request) -> web.Response:
        return web.json_response(self._shop.file(http.match_info["id"]).described())

    async def _content(self, http: web.Request) -> web.Response:
        return web.Response(body=self._shop.file(http.match_info["id"]).data, content_type="application/octet-stream")

    async def _delete(self, http: web.Request) -> web.Response:
        self._shop.delete(http.match_info["id"])
        return web.json_response({"id": http.match_info["id"], "object": "file", "deleted": True})

    async def _create(self, http: web.Request) -> web.Response:
        order = Order.model_validate_json(await http.read())
        self.batches_created[(order.metadata or {}).get("suwen", "")] += 1
        return web.json_response((await self._shop.create(order)).described())

    async def _batch(self, http: web.Request) -> web.Response:
        return web.json_response(self._shop.batch(http.match_info["id"]).described())

    async def _cancel(self, http: web.Request) -> web.Response:
        return web.json_response(self._shop.cancel(http.match_info["id"]).described())

    async def _batches(self, http: web.Request) -> web.Response:
        limit = http.query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            raise Refusal(400, f"limit must be from 1 to 100, got {limit!r}", param="limit")
        page, more = self._shop.page(int(limit), http.query.get("after"))
        ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
        data = [batch.described() for batch in page]
        return web.json_response({"object": "list", "data": data, **ends, "has_more": more})

    async def _stats(self, _: web.Request) -> web.Response:
        counts = {"asked": self.asked, "answered": self.answered, "batches_created": self.batches_created}
        return web.json_response({**counts, "most_in_flight": self.most_in_flight})


def request_key(body: bytes) -> str:
    """What a request is counted under: SHA-256 of its canonical JSON, or of what came when that is no JSON."""
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is answered with a 400, and counted too
        body = canonical_body(json.loads(body))
    return hashlib.sha256(body).hexdigest()


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The API's form for a call it refuses."""
    try:
        return await handler(request)
    except Refusal as refusal:
        status, message, param = refusal.status, str(refusal), refusal.param
    except ValidationError as wrong:
        first = wrong.errors()[0]
        param = ".".join(map(str, first["loc"]))
        status, message = 400, f"Invalid value for {param!r}: {first['msg']}, got {first['input']!r}"
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return web.json_response({"error": error}, status=status)


async def _marked(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[REHEARSAL_HEADER] = "1"


def spoilt(text: str, fate: Turn) -> str:
    """The answer with its fault in it."""
    if fate.fault == "truncated":
        return text[: len(text) * 2 // 3]
    if fate.fault == "broken_json" and text.startswith("{"):
        return "好的，结果如下：" + text[:-2].replace('"', "'")
    if fate.fault == "flawed_item" and text.startswith('{"triplets"'):
        made = json.loads(text)
        made["triplets"][0] = {"instruction": made["triplets"][0]["instruction"], "priority": "high"}
        return json.dumps(made, ensure_ascii=False)
    return text
