"""The HTTP side of the rehearsal teacher: /v1/chat/completions, /v1/models and a /stats page for tests."""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Any

from aiohttp import web

from builders.engine.rehearsal.faults import Manners, Turn, turn
from builders.engine.rehearsal.replies import reply
from builders.engine.teacher import REHEARSAL_HEADER

MARK = {REHEARSAL_HEADER: "1"}
SLOW_BODY_SECONDS = 1.0


class Rehearsal:
    """A running rehearsal teacher on the loopback interface; use as an async context manager, then ask `url`."""

    def __init__(self, manners: Manners | None = None, *, port: int = 0) -> None:
        self.manners = manners or Manners()
        self._port = port
        self.asked: Counter[str] = Counter()
        """SHA-256 of each request body -> how often it came."""
        self.answered: Counter[str] = Counter()
        """SHA-256 of each request body -> how often a whole completion was sent for it."""
        self.in_flight = 0
        self.most_in_flight = 0

    async def __aenter__(self) -> "Rehearsal":
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/stats", self._stats)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        key = hashlib.sha256(body).hexdigest()
        self.asked[key] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fate = turn(self.manners, body, self.asked[key])
            await asyncio.sleep(fate.delay)
            try:
                request = json.loads(body)
                text = reply(request, length=self.manners.answer_chars, obey=self.manners.obey)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as wrong:
                error = {"error": {"message": f"not a chat request: {type(wrong).__name__}: {wrong}"}}
                return web.json_response(error, status=400, headers=MARK)
            return await self._respond(http, request, text, fate, key)
        finally:
            self.in_flight -= 1

    async def _respond(
        self, http: web.Request, request: dict[str, Any], text: str, fate: Turn, key: str
    ) -> web.StreamResponse:
        if fate.fault == "throttled":
            headers = {"retry-after": f"{self.manners.retry_after:g}", **MARK}
            return web.json_response({"error": {"message": "rehearsed 429"}}, status=429, headers=headers)
        if fate.fault == "server_error":
            return web.json_response({"error": {"message": "rehearsed 503"}}, status=503, headers=MARK)
        if fate.fault == "not_a_completion":
            return web.json_response({"detail": "rehearsed oddity"}, headers=MARK)
        completion = self._completion(request, spoilt(text, fate), key, cut=fate.fault == "truncated")
        if fate.fault in ("cut", "slow_body"):
            return await self._trickle(http, completion, fate, key)
        self.answered[key] += 1
        return web.json_response(completion, headers=MARK)

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
        response = web.StreamResponse(
            headers={"content-type": "application/json", "content-length": str(len(data)), **MARK}
        )
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
        return web.json_response({"object": "list", "data": [{"id": "rehearsal", "object": "model"}]}, headers=MARK)

    async def _stats(self, _: web.Request) -> web.Response:
        counts = {"asked": dict(self.asked), "answered": dict(self.answered), "most_in_flight": self.most_in_flight}
        return web.json_response(counts)


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
