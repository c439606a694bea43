"""A grid is filled to exactly N rows: the same rows whatever the latency, and no call bought that is not needed."""

import asyncio
import hashlib
import random

import pytest

from builders.engine.errors import Interrupted, Reject, Unpaid
from builders.engine.grid import Batch, size_of
from builders.engine.quota import Quota

WARDS = ("cardiology/nurse", "pediatrics/relative", "dermatology/patient", "urology/none")
ALL_DIFFERENT = 10**9


def chance(text, out_of):
    """A number below `out_of` that the text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % out_of


class Teacher:
    """Brings the same items for the same call every time, sooner or later, and remembers what was paid for."""

    def __init__(self, latency=0, paid=(), known=None):
        self.known = set(paid if known is None else known)
        self.rng = random.Random(latency)
        self.latency = latency
        self.paid = set(paid)
        self.bought = []
        self.shown = {}
        self.in_flight = self.most_in_flight = 0

    @staticmethod
    def items(cell, k):
        return [f"{cell}/{k:04d}/{position:02d}" for position in range(size_of(k))]

    async def __call__(self, cell, k, earlier, /, *, free):
        self.shown[cell, k] = list(earlier)
        if free and (cell, k) not in self.known:
            raise Unpaid(f"{cell}/{k}")
        fresh = (cell, k) not in self.paid
        if fresh:
            self.bought.append((cell, k))
            self.paid.add((cell, k))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            for _ in range(self.rng.randrange(40) if self.latency else 0):
                await asyncio.sleep(0)
            self.in_flight -= 1
        return Batch(self.items(cell, k), (f"call {cell}/{k}",), fresh)


class Topics:
    """Keeps one item a topic, so that what is kept depends on the order of judging."""

    def __init__(self, topics=ALL_DIFFERENT, *, bad=None, paid=()):
        self.topics = topics
        self.bad = bad
        self.paid = paid
        self.kept = set()

    def __call__(self, picked, /):
        if self.bad and self.bad(picked):
            raise Reject("no good", picked.item)
        if chance(picked.item, self.topics) in self.kept:
            raise Reject("topic known", picked.item)
        return picked.item

    def keep(self, picked):
        self.kept.add(chance(picked.item, self.topics))

    def is_paid(self, picked):
        return picked.key in self.paid


class Run:
    """One run to its end, with as many workers as calls at once, and verdicts that come when they come."""

    def __init__(
        self, cells, rows, *, teacher=None, judge=None, lost=None, at_once=8, stop_after=None, paid_first=True
    ):
        self.teacher = teacher or Teacher()
        self.handed, self.kept, self.rejected = [], [], {}
        self.lost = lost
        self.quota = Quota(
            cells,
            rows,
            fetch=self.teacher,
            judge=judge or Topics(),
            on_reject=self._reject,
            at_once=at_once,
            stop_after=stop_after,
            paid_first=paid_first,
        )
        asyncio.run(self._work(at_once))

    def _reject(self, picked, verdict):
        assert picked.key not in self.rejected
        self.rejected[picked.key] = verdict.reason

    async def _work(self, workers):
        self.seeds, self.turn = aiter(self.quota), asyncio.Lock()
        async with asyncio.timeout(20):
            await asyncio.gather(*(self._answer() for _ in range(workers)))

    async def _answer(self):
        while True:
            async with self.turn:
                picked = await anext(self.seeds, None)
            if picked is None:
                return
            self.handed.append(picked.key)
            for _ in range(self.teacher.rng.randrange(20) if self.teacher.latency else 0):
                await asyncio.sleep(0)
            lost = bool(self.lost) and self.lost(picked.key)
            self.kept += [] if lost else [picked.key]
            self.quota.told(picked, not lost)


def cell_of(key):
    return key.rsplit("/", 2)[0]


def one_in_seven(key):
    return chance(f"verdict on {key}", 7) == 0


def just(*keys):
    return set(keys).__contains__


def test_a_call_brings_five_then_ten_then_twenty_items():
    assert [size_of(k) for k in (0, 1, 2, 3, 50)] == [5, 10, 20, 20, 20]


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 50, 203])
def test_exactly_as_many_rows_as_asked_for_shared_evenly_over_the_cells(rows):
    run = Run(WARDS, rows, teacher=Teacher(latency=1), judge=Topics(400), lost=one_in_seven)
    assert len(run.kept) == rows
    each, rest = divmod(rows, 4)  # the first cells get one more
    assert run.quota.reached() == {ward: (each + (rank < rest),) * 2 for rank, ward in enumerate(WARDS)}
    assert run.quota.shortfall == 0


def test_latency_and_calls_at_once_decide_nothing():
    def fill(latency, at_once):
        judge = Topics(500)
        return Run(WARDS, 180, teacher=Teacher(latency), judge=judge, lost=one_in_seven, at_once=at_once)

    plain = fill(latency=0, at_once=1)
    assert len(plain.kept) == 180
    assert set(plain.rejected.values()) == {"topic known"}
    assert len(plain.rejected) > 20
    assert len(plain.handed) > 190
    for latency in range(1, 21):
        run = fill(latency, at_once=random.Random(latency).randint(1, 50))
        assert run.handed == plain.handed
        assert set(run.kept) == set(plain.kept)
        assert run.rejected == plain.rejected
        assert run.quota.calls_read() == plain.quota.calls_read()


def test_items_are_handed_out_by_call_then_cell_then_position():
    run = Run(WARDS[:2], 20, teacher=Teacher(latency=5))
    first, second = WARDS[:2]
    calls = [(first, 0, 5), (second, 0, 5), (first, 1, 5), (second, 1, 5)]
    assert run.handed == [f"{cell}/{k:04d}/{place:02d}" for cell, k, count in calls for place in range(count)]


def test_a_call_sees_the_items_of_its_own_cell_up_to_eight_calls_ago_and_no_others():
    run = Run(WARDS[:2], 400, teacher=Teacher(latency=3), judge=Topics(2_000), at_once=50)
    assert max(k for _, k in run.teacher.shown) >= 10
    for (cell, k), earlier in run.teacher.shown.items():
        assert earlier == [item for j in range(k - 7) for item in Teacher.items(cell, j)]


def test_a_row_that_is_lost_is_replaced_from_its_own_cell():
    run = Run(WARDS[:2], 10, lost=just(f"{WARDS[0]}/0000/01", f"{WARDS[0]}/0000/04"))
    kept = [f"{WARDS[0]}/0000/{place:02d}" for place in (0, 2, 3)]
    kept += [f"{WARDS[0]}/0001/00", f"{WARDS[0]}/0001/01"]
    assert sorted(key for key in run.kept if cell_of(key) == WARDS[0]) == kept
    assert sum(cell_of(key) == WARDS[1] for key in run.kept) == 5


def test_a_replacement_that_is_lost_is_replaced_too():
    first_call = [f"{WARDS[0]}/0000/{place:02d}" for place in range(5)]
    run = Run(WARDS[:1], 5, lost=just(*first_call, f"{WARDS[0]}/0001/00"))
    assert run.kept == [f"{WARDS[0]}/0001/{place:02d}" for place in range(1, 6)]


def test_every_item_up_to_the_last_one_handed_out_is_accounted_for_once():
    run = Run(WARDS, 120, teacher=Teacher(latency=2), judge=Topics(300), lost=one_in_seven)
    for ward in WARDS:
        handed = {key for key in run.handed if cell_of(key) == ward}
        rejected = {key for key in run.rejected if cell_of(key) == ward}
        keys = [key for k in range(20) for key in Teacher.items(ward, k) if key <= max(handed)]
        assert handed.isdisjoint(rejected)
        assert sorted(handed | rejected) == keys


def only_the_first(count, ward=WARDS[0]):
    """Nothing is any good in a ward's calls but the first items of its first call."""
    return lambda picked: picked.cell == ward and (picked.call, picked.position) >= (0, count)


def test_a_dry_cell_is_given_up_after_five_calls_and_its_rest_goes_to_the_others():
    run = Run(WARDS[:3], 30, teacher=Teacher(latency=1), judge=Topics(bad=only_the_first(4)))
    # 10 rows each; calls 0 to 4 of the first ward hold 75 items, 4 of them good: 5.3 %. Calls 1 to 5: none of 90.
    assert run.quota.saturated() == [WARDS[0]]
    assert max(k for ward, k in run.teacher.bought if ward == WARDS[0]) == 5
    # its missing six, one at a time to the one with the least to do
    assert run.quota.reached() == {WARDS[0]: (10, 4), WARDS[1]: (10, 13), WARDS[2]: (10, 13)}
    assert len(run.rejected) == 91  # calls 0 to 5 hold 95 items
    assert len(run.kept) == 30
    assert run.quota.shortfall == 0


def test_what_a_dry_cell_leaves_goes_first_to_the_cell_with_the_least_to_do():
    # 11, 10 and 10 rows; the third ward gives 5, and its rest goes to the second, the first, the second, …
    run = Run(WARDS[:3], 31, judge=Topics(bad=only_the_first(5, WARDS[2])))
    assert run.quota.reached() == {WARDS[0]: (11, 13), WARDS[1]: (10, 13), WARDS[2]: (10, 5)}


@pytest.mark.parametrize(("good", "is_dry"), [(3, True), (4, False)])
def test_a_cell_is_dry_when_five_calls_gave_under_five_percent(good, is_dry):
    # calls 0 to 4 hold 5 + 10 + 20 + 20 + 20 = 75 items, and 5 % of them is 3.75; from call 5 on everything is good
    run = Run(
        WARDS[:1], 30, judge=Topics(bad=lambda picked: picked.call < 5 and (picked.call, picked.position) >= (0, good))
    )
    assert run.quota.saturated() == ([WARDS[0]] if is_dry else [])
    assert len(run.kept) == (3 if is_dry else 30)
    assert run.quota.shortfall == (27 if is_dry else 0)


def test_when_all_cells_are_dry_the_rest_is_a_shortfall():
    run = Run(WARDS[:2], 40, teacher=Teacher(latency=1), judge=Topics(bad=lambda picked: picked.call > 0))
    assert sorted(run.quota.saturated()) == sorted(WARDS[:2])
    assert len(run.kept) == 10  # the five of each first call
    assert run.quota.shortfall == 30


def test_verdicts_count_for_whether_a_cell_is_dry():
    # every item looks good and every answer is bad
    run = Run(WARDS[:1], 20, lost=lambda key: True)
    assert run.kept == []
    assert run.quota.saturated() == [WARDS[0]]
    assert run.quota.shortfall == 20


def test_a_row_that_is_lost_after_its_cell_ran_dry_is_replaced_by_another_cell():
    run = Run(WARDS[:2], 20, judge=Topics(bad=only_the_first(4)), lost=just(f"{WARDS[0]}/0000/01"))
    assert run.quota.saturated() == [WARDS[0]]
    assert len(run.kept) == 20
    assert run.quota.reached() == {WARDS[0]: (10, 3), WARDS[1]: (10, 17)}


def test_a_row_that_is_lost_after_every_cell_ran_dry_is_a_shortfall():
    run = Run(WARDS[:1], 20, judge=Topics(bad=only_the_first(4)), lost=just(f"{WARDS[0]}/0000/01"))
    assert len(run.kept) == 3
    assert run.quota.shortfall == 17


@pytest.mark.parametrize("at_once", [1, 4, 50])
def test_when_every_item_is_good_no_call_is_bought_in_vain(at_once):
    run = Run(WARDS, 200, teacher=Teacher(latency=6), at_once=at_once)
    # 50 a cell: 5 + 10 + 20 + 15 of the fourth call's 20
    assert sorted(run.teacher.bought) == sorted((ward, k) for ward in WARDS for k in range(4))
    assert run.quota.surplus() == 0
    assert sorted(run.quota.calls_read()) == sorted(f"call {ward}/{k}" for ward in WARDS for k in range(4))


def test_nothing_is_bought_ahead_when_no_answer_has_to_be_waited_for():
    run = Run(WARDS, 120, judge=Topics(200), lost=one_in_seven, at_once=50)
    by_reading = [tuple(call.removeprefix("call ").rsplit("/", 1)) for call in run.quota.calls_read()]
    assert sorted(run.teacher.bought) == sorted((cell, int(k)) for cell, k in by_reading)
    assert run.teacher.bought == sorted(run.teacher.bought, key=lambda one: (one[1], WARDS.index(one[0])))
    assert run.quota.surplus() == 0


def test_calls_are_bought_ahead_when_they_have_to_be_waited_for():
    for at_once in (1, 12):
        run = Run(WARDS, 400, teacher=Teacher(latency=4), at_once=at_once)
        assert run.teacher.most_in_flight == at_once


@pytest.mark.parametrize("stop_after", [1, 7, 40])
def test_a_pilot_is_the_first_seeds_of_the_whole_run(stop_after):
    whole = Run(WARDS, 120, judge=Topics(300))
    pilot = Run(WARDS, 120, teacher=Teacher(latency=8), judge=Topics(300), stop_after=stop_after)
    assert pilot.handed == whole.handed[:stop_after]


def test_a_pilot_does_not_buy_for_rows_it_will_not_build():
    pilot = Run(WARDS, 400, teacher=Teacher(latency=8), stop_after=5, at_once=50)
    assert pilot.teacher.bought == [(WARDS[0], 0)]  # which brings five


def again(first, rows, **how):
    """The run once more, with every call and every answer of the first one in the ledger."""
    judge = Topics(how.pop("topics"), paid=set(first.handed))
    return Run(WARDS, rows, teacher=Teacher(latency=9, paid=first.teacher.paid), judge=judge, **how)


def test_the_same_run_again_buys_nothing_and_gives_the_same_rows():
    first = Run(WARDS, 150, teacher=Teacher(latency=2), judge=Topics(500), lost=one_in_seven)
    second = again(first, 150, topics=500, lost=one_in_seven)
    assert second.teacher.bought == []
    assert set(second.handed) == set(first.handed)
    assert set(second.kept) == set(first.kept)
    assert second.rejected == first.rejected
    assert second.quota.calls_read() == first.quota.calls_read()


def test_a_looser_filter_asks_nothing_new():
    first = Run(WARDS, 150, judge=Topics(500))
    second = again(first, 150, topics=ALL_DIFFERENT)
    assert second.teacher.bought == []
    assert set(second.kept) == set(first.kept)


def test_more_rows_keep_all_that_was_paid_for():
    first = Run(WARDS, 100, judge=Topics(500))
    second = again(first, 160, topics=500)
    assert len(second.kept) == 160
    assert set(second.kept) > set(first.kept)


def test_items_that_wait_for_an_answer_to_be_bought_do_not_make_a_cell_dry():
    calls = {(WARDS[0], k) for k in range(6)}  # six calls are paid for, none of the answers is
    run = Run(WARDS[:1], 30, teacher=Teacher(paid=calls))
    assert run.kept == [key for k in range(3) for key in Teacher.items(WARDS[0], k)][:30]
    assert run.quota.saturated() == []
    assert run.quota.calls_read() == [f"call {WARDS[0]}/{k}" for k in range(3)]  # the rows are made from no more


def sparse(one_in):
    """In the first ward one item in so many is any good; elsewhere all are."""
    return lambda picked: picked.cell == WARDS[0] and chance(f"quality of {picked.item}", one_in) > 0


@pytest.mark.parametrize("killed_after", [1, 30, 100, 149])
def test_a_run_that_was_killed_and_goes_on_keeps_what_was_paid_for(killed_after):
    first = Run(WARDS, 150, teacher=Teacher(latency=2), judge=Topics(500), lost=one_in_seven, stop_after=killed_after)
    rest = again(first, 150, topics=500, lost=one_in_seven)
    assert len(rest.kept) == 150
    assert set(rest.kept) >= set(first.kept)
    assert set(rest.teacher.bought).isdisjoint(first.teacher.bought)


@pytest.mark.parametrize(
    ("rows", "topics", "one_in", "killed_after"),
    [
        (150, 500, 1, 30),
        (12, 100, 20, 1),  # rejects of the first ward hang on rows of the second
        (30, 100, 8, 1),  # the first ward runs dry
        (35, 200, 8, 16),  # likewise
    ],
)
def test_a_run_that_was_killed_and_went_on_replays_from_its_ledger(rows, topics, one_in, killed_after):
    def run(latency, *before, stop_after=None):
        teacher = Teacher(latency, paid={call for earlier in before for call in earlier.teacher.paid})
        judge = Topics(topics, bad=sparse(one_in), paid={key for earlier in before for key in earlier.handed})
        options = {"lost": one_in_seven, "stop_after": stop_after, "paid_first": False}
        return Run(WARDS[:2], rows, teacher=teacher, judge=judge, **options)

    killed = run(0, stop_after=killed_after)
    resumed = run(1, killed)
    replayed = run(2, killed, resumed)
    assert replayed.teacher.bought == []
    assert set(replayed.handed) <= {*killed.handed, *resumed.handed}
    assert set(replayed.kept) == set(resumed.kept)
    undisturbed = run(3)
    assert set(undisturbed.kept) == set(resumed.kept)
    assert replayed.rejected == resumed.rejected == undisturbed.rejected  # the card counts them


def test_a_build_that_used_what_others_had_paid_for_replays_as_long_as_it_is_told_the_same():
    other = Run(WARDS[:3], 90, judge=Topics(200), stop_after=60)

    def run(latency, *before, stop_after=None):
        bought = {call for earlier in (other, *before) for call in earlier.teacher.paid}
        teacher = Teacher(latency, paid=bought, known=other.teacher.paid)
        judge = Topics(500, bad=sparse(15), paid=set(other.handed))
        return Run(WARDS[:3], 90, teacher=teacher, judge=judge, lost=one_in_seven, stop_after=stop_after)

    first = run(1)
    killed = run(2, stop_after=70)
    for again in (run(3, first), run(4, killed), run(5, killed, first)):
        assert set(again.kept) == set(first.kept)
        assert again.rejected == first.rejected
        assert again.quota.calls_read() == first.quota.calls_read()
    assert run(6, first).teacher.bought == []
    assert len(set(first.kept) & set(other.handed)) > 20


def test_seeds_that_are_told_to_stop_wait_for_no_more_verdicts():
    quota = Quota(WARDS[:1], 1, fetch=Teacher(), judge=Topics(), on_reject=lambda picked, verdict: None, at_once=1)

    async def day():
        seeds = aiter(quota)
        await anext(seeds)
        waiting = asyncio.ensure_future(anext(seeds))
        await asyncio.sleep(0)
        assert not waiting.done()
        quota.stop()
        with pytest.raises(Interrupted, match="told to stop"):
            await waiting

    asyncio.run(day())


def test_a_call_that_fails_ends_the_seeds_when_those_in_flight_have_landed():
    class Lost(Teacher):
        async def __call__(self, cell, k, earlier, /, *, free):
            batch = await super().__call__(cell, k, earlier, free=free)
            if (cell, k) == (WARDS[1], 0):
                raise Interrupted("told to stop")
            return batch

    teacher = Lost(latency=3)
    with pytest.raises(Interrupted, match="told to stop"):
        Run(WARDS, 100, teacher=teacher, at_once=8)
    assert teacher.most_in_flight > 1
    assert teacher.in_flight == 0
