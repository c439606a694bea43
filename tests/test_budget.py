"""What a run costs: never more than it was told, as it was reckoned before, counted where the money is taken."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from answers import completion
from scenes import wait_until

from builders.engine.rehearsal.replies import reply

CELLS = ("--departments", "huatuo", "--roles", "患者,护士", "--out", "set")
PRICE = (2.0, 8.0)


class Till:
    """A teacher that takes money for every request it has read, whether or not anybody hears the answer."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.taken = 0.0
        self.asked = 0
        self.most_in_flight = self.in_flight = 0
        self._lock = threading.Lock()

    async def sell(self, request):
        import asyncio

        body = await request.json()
        text = reply(body)
        tokens_in, tokens_out = sum(len(said["content"]) for said in body["messages"]), len(text)
        with self._lock:
            self.taken += (tokens_in * PRICE[0] + tokens_out * PRICE[1]) / 1e6
            self.asked += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.seconds)
        self.in_flight -= 1
        return completion(text, usage={"prompt_tokens": tokens_in, "completion_tokens": tokens_out})


def ward(serve, till: Till) -> tuple[object, ...]:
    """An endpoint with a price and answers of at most 4,000 tokens."""
    url = f"{serve(till.sell)}/v1"
    Path("suwen.toml").write_text(
        f'[endpoints.ward]\nbase_urls = ["{url}"]\nusd_per_million = [{PRICE[0]}, {PRICE[1]}]\nanswer_limit = 4000\n'
    )
    return ("--teacher", "m@ward", *CELLS)


def test_the_budget_is_never_exceeded_with_400_calls_in_flight_and_runs_that_are_killed(serve, process, distill):
    till = Till(1.5)
    flags = (*ward(serve, till), "--rows", 2000, "--at-once", 400)
    for budget in (22, 44):  # a call may cost 0.05 $: each kill leaves up to 400 of them in doubt
        child = process(*flags, "--max-usd", budget)
        sold = till.asked + 1500
        wait_until(lambda sold=sold: till.in_flight >= 390 or till.asked >= sold, child)
        child.kill()
        child.wait()
        time.sleep(2)
    assert till.most_in_flight >= 390
    till.seconds = 0.05
    budget = round(held() + 1, 2)
    stopped = distill(*flags, "--max-usd", budget)
    assert stopped.code == 4, stopped.talk
    assert f"--max-usd {budget:g}" in stopped.talk
    assert stopped.said["in_doubt"] > 390
    assert 1 < till.taken <= held() <= budget


def held() -> float:
    """What the ledger counts against the budget: what was used, and what is in doubt at its worst."""
    with closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        return float(ledger.execute("SELECT SUM(usd) FROM attempts WHERE state != 'failed'").fetchone()[0])


def test_two_runs_that_share_nothing_but_the_folder_keep_one_budget(serve, distill):
    till = Till(0.05)
    flags = (*ward(serve, till), "--max-usd", 1, "--at-once", 50)
    for seed in range(3):
        assert distill(*flags, "--rows", 500, "--seed", seed).code == 4
    assert 0.1 < till.taken <= 1


@pytest.mark.parametrize(("seed", "length"), list(enumerate((80, 160, 300, 500, 900))))
def test_what_a_pilot_reckons_holds_the_real_cost(rehearsal, distill, seed, length):
    server = rehearsal(answer_chars=length)
    where = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url, "--price", "10,40", *CELLS)
    flags = (*where, "--rows", 160, "--seed", seed)
    planned = distill(*flags, "--dry-run").said
    assert 0 < planned["usd"] < planned["worst_usd"]
    pilot = distill(*flags, "--pilot", 20)
    assert pilot.said["rows"] == 20
    reckoned = pilot.said["pilot"]
    assert f"95 % interval ${reckoned['low']:.4f} to ${reckoned['high']:.4f}" in pilot.talk
    whole = distill(*flags)
    assert whole.said["rows"] == 160
    with closing(sqlite3.connect(".suwen/ledger.sqlite")) as ledger:
        cost = ledger.execute("SELECT SUM(usd) FROM answers").fetchone()[0]
    assert reckoned["low"] <= cost <= reckoned["high"]
    assert reckoned["high"] < 2 * reckoned["low"]
    assert cost <= planned["worst_usd"]


def test_a_dry_run_says_the_same_to_people_and_programs(distill):
    said = distill("--teacher", "gpt-5-mini@openai", *CELLS, "--rows", 100, "--dry-run")
    assert f"about ${said.said['usd']:.2f} expected, ${said.said['worst_usd']:.2f} if every answer is" in said.talk
    assert (said.said["dry_run"], said.said["rows"]) == (True, 100)
