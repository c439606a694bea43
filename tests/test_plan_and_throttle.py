"""What a run will cost before it is run, and how many calls an endpoint gets at once."""

import asyncio

import pytest

from builders.engine.ask import Heard
from builders.engine.endpoints import Endpoint, ServedModel
from builders.engine.plan import Plan, Step, estimate, in_words, pilot, reckon, tokens_of, total, wilson
from builders.engine.throttle import Throttle, seconds
from schemas.base import Message


@pytest.mark.parametrize(
    ("good", "all_of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),  # the same table
    ],
)
def test_wilson_gives_the_published_intervals(good, all_of, low, high):
    share = wilson(good, all_of)
    assert share.low == pytest.approx(low, abs=5e-5)
    assert share.mean == good / all_of
    assert share.high == pytest.approx(high, abs=5e-5)


def test_a_share_is_never_zero_so_that_it_can_be_divided_by():
    # Newcombe has 0 to 0.1611 for 0 of 20
    assert wilson(0, 20) == (0.01, 0.01, pytest.approx(0.1611, abs=5e-5))
    assert wilson(0, 0).low == 0.01


def test_a_perfect_share_stays_below_one_at_the_low_end_only():
    # 20 of 20 mirrors 0 of 20: 1 - 0.1611
    assert wilson(20, 20) == (pytest.approx(0.8389, abs=5e-5), 1.0, pytest.approx(1.0))


@pytest.mark.parametrize(
    ("sample", "calls", "low", "mean", "high"),
    [
        # mean 2, s = √2; √(8 + 8²/2) = √40; 1.96·√2·√40 = 1.96·√80 = 17.531; 16 - 17.531 < 0
        ([1.0, 3.0], 8, 0.0, 16.0, 33.531),
        # mean 10, s = 1 over [9, 10, 11]; √(3 + 3²/3) = √6; 1.96·2.449 = 4.801
        ([9.0, 10.0, 11.0], 3, 25.199, 30.0, 34.801),
        ([2.0, 2.0, 2.0], 100, 200.0, 200.0, 200.0),  # no spread, no interval
        # one answer says nothing of the spread: the mean stands in; 1.96·5·√(1 + 1) = 13.859
        ([5.0], 1, 0.0, 5.0, 18.859),
        ([], 50, 0.0, 0.0, 0.0),
    ],
)
def test_a_total_is_reckoned_from_a_sample(sample, calls, low, mean, high):
    assert total(sample, calls) == pytest.approx((low, mean, high), abs=1e-3)


def test_a_prompt_is_a_token_for_four_bytes():
    # 5 Chinese characters are 15 bytes in UTF-8, 9 letters and a space 10 more: 25 // 4
    assert tokens_of([Message(role="user", content="头晕三天了"), Message(role="user", content="how often?")]) == 6


PLAN = Plan((Step("triplets", 10, 1_000, 2_000), Step("answers", 200, 100, 500)))


def served(price, answer_limit=8192):
    ward = Endpoint(name="ward", base_urls=("http://gpu1:8000/v1",), usd_per_million=price, answer_limit=answer_limit)
    return ServedModel("qwen-max", ward)


def heard(usd, tokens=600):
    return Heard(
        key="k", by="qwen-max@ward", rehearsal=False, tokens_in=100, tokens_out=tokens - 100, usd=usd, fresh=True
    )


def dry_run(plan, model, *, rows):
    speakers = {"teacher": model}
    return in_words(estimate(plan, speakers), plan, speakers, rows)


def test_a_dry_run_states_calls_tokens_and_money():
    plan = dry_run(PLAN, served((1.0, 2.0), answer_limit=4_000), rows=200)
    assert "200 rows from qwen-max@ward, 210 calls at least" in plan  # 10 + 200
    assert "30,000 in, 120,000 out" in plan  # 10·1000 + 200·100, 10·2000 + 200·500
    # (30,000·1 + 120,000·2) / 1e6 = 0.27; at worst 4 tokens for each guessed one in and 210·4,000 = 840,000 out:
    # (120,000·1 + 840,000·2) / 1e6 = 1.80
    assert "about $0.27 expected, $1.80 if every answer is as long as it may be" in plan


def test_a_dry_run_without_a_price_says_that_the_cost_is_unknown():
    plan = dry_run(PLAN, served(None), rows=200)
    assert "cost: unknown" in plan
    assert "$" not in plan


def told(plan, measured, speaker, *, accepted):
    """What a pilot of so many rows, none of them rejected, says of a run of eight."""
    share = wilson(accepted, accepted)
    return pilot(reckon(plan, measured, {"teacher": speaker}, share), share, 8, accepted=accepted, judged=accepted)


def test_a_pilot_reckons_the_whole_run_from_its_answers():
    answers = Plan((Step("answers", 8, 100, 500),))
    measured = {"answers": [heard(None, tokens=1_000_100), heard(9.9, tokens=3_000_100)]}  # $1 and $3 at today's price
    said = told(answers, measured, served((0.0, 1.0)), accepted=20)
    assert "20 rows accepted of 20 judged (84% to 100% expected)" in said  # Wilson, see above
    assert "answers: 2000100 tokens a call over 2 calls" in said
    # mean: 8 calls at $2. Low: 16 - 17.531 < 0. High: the share may be 0.8389, so 8 / 0.8389 = 9.5366 calls:
    # 19.0732 + 1.96·√2·√(9.5366 + 9.5366²/2) = 19.0732 + 2.77186·√55.0100 = 39.6319
    assert "8 rows: $16.0000 expected, 95 % interval $0.0000 to $39.63" in said


def test_a_pilot_without_a_price_does_not_claim_that_the_run_is_free():
    answers = Plan((Step("answers", 8, 100, 500),))
    said = told(answers, {"answers": [heard(1.0), heard(1.0)]}, served(None), accepted=2)
    assert "unknown" in said
    assert "$0.0000" not in said


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("20ms", 0.02),
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),  # 3600 + 120 + 3.5
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.2.3", None),
        ("3 days", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_delay_is_read_as_servers_write_it(text, delay):
    assert seconds(text) == (None if delay is None else pytest.approx(delay))


class Ward:
    """Calls through a throttle: who got in, in which order, and how many were in at once."""

    def __init__(self, throttle):
        self.throttle = throttle
        self.entered = []
        self.most = 0
        self.calls = {}
        self.gates = {}

    async def _call(self, name):
        async with self.throttle.slot():
            self.entered.append(name)
            self.most = max(self.most, self.throttle.in_flight)
            await self.gates[name].wait()

    async def arrive(self, *names):
        for name in names:
            self.gates[name] = asyncio.Event()
            self.calls[name] = asyncio.create_task(self._call(name))
        await settle()

    async def leave(self, *names):
        for name in names:
            self.gates[name].set()
        await settle()


async def settle():
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_never_more_calls_than_the_window_are_in_flight_and_first_come_is_first_served():
    async def day():
        ward = Ward(Throttle(3))
        await ward.arrive(*"甲乙丙丁戊己")
        assert ward.entered == ["甲", "乙", "丙"]
        await ward.leave("乙")
        assert ward.entered == ["甲", "乙", "丙", "丁"]
        await ward.leave(*"甲丙丁")
        await ward.leave(*"戊己")
        assert ward.entered == list("甲乙丙丁戊己")
        assert ward.most == 3
        assert ward.throttle.in_flight == 0

    asyncio.run(day())


def test_a_push_back_narrows_the_window_to_seven_tenths_once_a_second():
    async def day():
        throttle = Throttle(10)
        throttle.pushed_back(None)
        assert throttle.window == pytest.approx(7.0)
        throttle.pushed_back(None)  # the same burst
        assert throttle.window == pytest.approx(7.0)
        ward = Ward(throttle)
        await ward.arrive(*"甲乙丙丁戊己庚辛壬癸")
        assert ward.most == 7
        await ward.leave(*ward.gates)

    asyncio.run(day())


def test_the_window_never_closes_altogether():
    async def day():
        throttle = Throttle(1)
        throttle.pushed_back(None)
        assert throttle.window == 1.0
        ward = Ward(throttle)
        await ward.arrive("甲")
        assert ward.entered == ["甲"]
        await ward.leave("甲")

    asyncio.run(day())


def test_answers_widen_the_window_by_one_a_round_up_to_the_ceiling():
    async def day():
        throttle = Throttle(10)
        throttle.pushed_back(None)
        throttle.answered({})
        assert throttle.window == pytest.approx(7 + 1 / 7)
        for _ in range(100):
            throttle.answered({})
        assert throttle.window == 10.0

    asyncio.run(day())


def test_retry_after_lets_nobody_in_for_as_long_as_it_asked():
    async def day():
        loop = asyncio.get_running_loop()
        throttle = Throttle(2)
        pushed = loop.time()
        throttle.pushed_back(0.02)
        async with asyncio.timeout(5):
            async with throttle.slot():
                waited = loop.time() - pushed
        assert waited >= 0.02

    asyncio.run(day())


def test_a_shorter_pause_does_not_end_a_longer_one():
    async def day():
        loop = asyncio.get_running_loop()
        throttle = Throttle(2)
        pushed = loop.time()
        throttle.pause(0.02)
        throttle.pause(0.001)
        async with asyncio.timeout(5):
            async with throttle.slot():
                assert loop.time() - pushed >= 0.02

    asyncio.run(day())


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_an_allowance_that_is_used_up_pauses_until_it_is_reset(kind):
    async def day():
        loop = asyncio.get_running_loop()
        throttle = Throttle(2)
        answered = loop.time()
        throttle.answered({f"x-ratelimit-remaining-{kind}": "0", f"x-ratelimit-reset-{kind}": "20ms"})
        async with asyncio.timeout(5):
            async with throttle.slot():
                assert loop.time() - answered >= 0.02

    asyncio.run(day())


def test_an_allowance_with_something_left_pauses_nobody():
    async def day():
        throttle = Throttle(2)
        throttle.answered({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1h"})
        ward = Ward(throttle)
        await ward.arrive("甲")
        assert ward.entered == ["甲"]
        await ward.leave("甲")

    asyncio.run(day())


def test_a_call_that_fails_gives_its_slot_back():
    async def day():
        throttle = Throttle(1)
        with pytest.raises(ZeroDivisionError):
            async with throttle.slot():
                raise ZeroDivisionError
        assert throttle.in_flight == 0

    asyncio.run(day())


def test_a_waiter_cancelled_in_the_queue_is_passed_over():
    async def day():
        ward = Ward(Throttle(1))
        await ward.arrive(*"甲乙丙")
        ward.calls["乙"].cancel()
        await ward.leave("甲")
        assert ward.entered == ["甲", "丙"]
        await ward.leave("丙")
        assert ward.throttle.in_flight == 0

    asyncio.run(day())


def test_a_waiter_cancelled_just_after_it_was_let_in_gives_its_slot_to_the_next():
    async def day():
        throttle = Throttle(1)
        ward = Ward(throttle)
        async with throttle.slot():
            await ward.arrive(*"乙丙")
        ward.calls["乙"].cancel()  # its turn has come, but it has not run yet
        await settle()
        assert ward.entered == ["丙"]
        await ward.leave("丙")
        assert throttle.in_flight == 0

    asyncio.run(day())


def test_opening_up_admits_everybody_who_waits():
    async def day():
        throttle = Throttle(2)
        ward = Ward(throttle)
        await ward.arrive(*"甲乙丙丁戊")
        throttle.pause(60)
        throttle.open_up()
        await settle()
        assert ward.entered == list("甲乙丙丁戊")
        await ward.leave(*"甲乙丙丁戊")

    asyncio.run(day())
