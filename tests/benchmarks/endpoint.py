"""A chat endpoint that costs next to nothing to serve: log-normal latency, one fixed answer.

python tests/benchmarks/endpoint.py --port 8123 --median 0.3 --sigma 0.5
"""

import argparse
import asyncio
import json
import math
import random

from aiohttp import web

ANSWER = "多数情况下先休息、补液并观察体温变化；若高热超过三天、出现呼吸困难或意识改变，请尽快到医院就诊。" * 8


class Endpoint:
    """Answers every request after a wait drawn from one seeded stream."""

    def __init__(self, *, median: float, sigma: float) -> None:
        self._median = median
        self._sigma = sigma
        self._rng = random.Random(7)
        self.answered = 0

    async def chat(self, request: web.Request) -> web.Response:
        """POST /v1/chat/completions."""
        body = json.loads(await request.read())
        await asyncio.sleep(self._median * math.exp(self._rng.gauss(0.0, self._sigma)))
        self.answered += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 200, "completion_tokens": 300, "total_tokens": 500}
        head = {"id": str(self.answered), "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response({**head, "choices": [choice], "usage": usage})

    async def models(self, _: web.Request) -> web.Response:
        """GET /v1/models, which some clients wait for."""
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def stats(self, _: web.Request) -> web.Response:
        """GET /stats."""
        return web.json_response({"answered": self.answered})


async def serve(port: int, *, median: float, sigma: float) -> None:
    """Serve until killed; prints the address as one JSON line."""
    endpoint = Endpoint(median=median, sigma=sigma)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", endpoint.chat)
    app.router.add_get("/v1/models", endpoint.models)
    app.router.add_get("/stats", endpoint.stats)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--port", type=int, default=0)
    flags.add_argument("--median", type=float, default=0.3, help="seconds")
    flags.add_argument("--sigma", type=float, default=0.5)
    asked = flags.parse_args()
    asyncio.run(serve(asked.port, median=asked.median, sigma=asked.sigma))
