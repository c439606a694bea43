"""An endpoint that answers the builders' prompts so that they accept, and costs next to nothing to serve.

A rewriting is the doctor's own words after 您好; the two of a consultation speak for four turns of each by a script.
Latency is log-normal. `python tests/benchmarks/builder_endpoint.py --median 0.3 --sigma 0.5` prints its address.
"""

import argparse
import asyncio
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from builders.engine.patient import GOODBYE
from builders.prompts import prompt

Messages = Sequence[Mapping[str, str]]
QUESTIONS = (
    "您好，这种情况有多久了？还有别的不舒服吗？",
    "好的，您今年多大年龄？以前得过什么病吗？",
    "嗯，对什么药过敏吗？这次吃过什么药？",
)
TURNS = len(QUESTIONS) + 1
CALLS = 2 * TURNS + 1
"""Of one consultation: the patient's last words are a goodbye that nobody answers."""
ANSWER = "多数情况下先休息、补液并观察体温变化；若高热超过三天、出现呼吸困难，请尽快到医院就诊。"


def data_of(message: Mapping[str, str]) -> Any:
    """The data block of a message."""
    content = message["content"]
    return json.JSONDecoder().raw_decode(content, content.index("<data>") + len("<data>"))[0]


def polish(messages: Messages) -> str:
    """The doctor's words, politely."""
    return f"您好，{data_of(messages[-1])['answer']}"


def rewrite(messages: Messages) -> str:
    """Every doctor's turn, politely."""
    said = data_of(messages[-1])["dialogue"]
    turns = [{"n": turn["n"], "text": f"好的，{turn['text']}"} for turn in said if turn["speaker"] == "doctor"]
    return json.dumps({"turns": turns}, ensure_ascii=False)


def patient(messages: Messages) -> str:
    """The complaint, two facts a turn in their own words, thanks."""
    turn = (len(messages) - 2) // 2
    if turn == TURNS:
        return f"好的，谢谢医生，{GOODBYE}！"
    known = data_of(messages[1])
    if turn == 0:
        return f"医生您好，{known['complaint']}。"
    return "，".join(fact["value"] for fact in known["facts"][2 * turn - 2 : 2 * turn]) + "。"


def doctor(messages: Messages) -> str:
    """Questions, then the conclusion with the advice."""
    turn = (len(messages) - 2) // 2
    if turn < len(QUESTIONS):
        return QUESTIONS[turn]
    known = data_of(messages[1])
    return f"结合您说的情况，考虑是{known['conclusion']}。{known['advice']}"


WRITERS: dict[str, Callable[[Messages], str]] = {
    prompt("polish_answer").text: polish,
    prompt("rewrite_doctor").text: rewrite,
    prompt("simulate_patient").text: patient,
    prompt("simulate_doctor").text: doctor,
}


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
        messages = body["messages"]
        write = WRITERS.get(messages[0]["content"])
        text = write(messages) if write else ANSWER
        await asyncio.sleep(self._median * math.exp(self._rng.gauss(0.0, self._sigma)))
        self.answered += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 800, "completion_tokens": 100, "total_tokens": 900}
        head = {"id": str(self.answered), "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response({**head, "choices": [choice], "usage": usage})


async def serve(*, median: float, sigma: float) -> None:
    """Serve until killed; prints the address as one JSON line."""
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", Endpoint(median=median, sigma=sigma).chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}/v1"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--median", type=float, default=0.3, help="seconds")
    flags.add_argument("--sigma", type=float, default=0.5)
    asked = flags.parse_args()
    asyncio.run(serve(median=asked.median, sigma=asked.sigma))
