"""What a build survives. `python -m pytest -m chaos` runs everything; a short form of it runs with the other tests.

After each: exactly the rows asked for, byte for byte those of an undisturbed build, no durable answer bought twice
(counted at the server), and a manifest that is true.
"""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from scenes import AT_ONCE, KINDS, Scene, bought, bought_again, check_finished, receipts, wait_until

from builders.engine.rehearsal.faults import Manners
from builders.engine.rehearsal.server import Rehearsal

ROWS = {"single calls": 60, "many turns": 24, "batches": 16}
ANSWERS = {"single calls": 72, "many turns": 120, "batches": 24}
"""About how many answers a build needs."""
HOWS = ("kill -9", "kill -TERM", "out of memory")
LEAST_MEMORY, MOST_MEMORY = 700_000_000, 2_800_000_000
"""Address space a build is given when it is to run out of it: from too little to start, to just too little."""
KILLS = 100

chaos = pytest.mark.chaos


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Kind -> data files of an undisturbed build."""
    found: dict[str, dict[str, bytes]] = {}

    def build(scene: Scene) -> dict[str, bytes]:
        if scene.kind not in found:
            made = scene.run(out="quiet", ledger="quiet.sqlite")
            assert made.said["rows"] == scene.rows, made.talk
            found[scene.kind] = scene.data("quiet")
            scene.server.asked.clear()
            scene.server.answered.clear()
        return found[scene.kind]

    return build


def few(cases, seeds=(0,)):
    """Every case marked as chaos, but for the seeds of the short form."""
    return [pytest.param(*case, marks=() if case[-1] in seeds else chaos) for case in cases]


def kills():
    """A hundred kills, spread over kinds and ways, each with a seed of its own for the moment."""
    return [(KINDS[seed % 3], HOWS[seed // 3 % 3], seed) for seed in range(KILLS)]


@pytest.mark.parametrize(("kind", "how", "seed"), few(kills(), seeds=(0, 4, 8)))
def test_a_killed_build_is_finished_by_the_next_and_buys_nothing_durable_again(rehearsal, quiet, kind, how, seed):
    rng = random.Random(seed)
    server = rehearsal(latency=0.02, spread=0.5, batch_seconds=0.5)
    scene = Scene(kind, server, ROWS[kind])
    undisturbed = quiet(scene)
    durable: dict[str, int] = {}
    for _ in range(rng.choice((1, 1, 2))):
        killed(scene, how, rng)
        durable = {**receipts(server), **durable}
    time.sleep(0.2)  # let the server finish what it was sent
    made = scene.run()
    assert (made.code, made.said["rows"]) == (0, scene.rows), made.talk
    check_finished(scene, durable, undisturbed)
    again = sum(server.answered.values()) - len(server.answered)
    assert again <= 2 * AT_ONCE
    if kind == "batches":
        assert set(server.batches_created.values()) == {1}
        assert again == 0


def killed(scene: Scene, how: str, rng: random.Random) -> None:
    """Start a build and end it badly, at a moment drawn between its start and its release."""
    if how == "out of memory":
        child = scene.start(memory=rng.randint(LEAST_MEMORY, MOST_MEMORY))
    else:
        child = scene.start()
        wait_until(moment(scene, rng), child)
        child.send_signal(signal.SIGKILL if how == "kill -9" else signal.SIGTERM)
    try:
        child.communicate(timeout=30)
    except subprocess.TimeoutExpired:  # native libraries have been seen to spin when they get no memory
        assert how == "out of memory"
        child.kill()
        child.communicate()


def moment(scene: Scene, rng: random.Random):
    """By answers for most, by the clock for the others: these fall into the start and the release as well."""
    if scene.kind == "batches" or rng.random() < 0.3:
        until = time.monotonic() + rng.uniform(0.2, 6.0 if scene.kind == "batches" else 3.0)
        return lambda: time.monotonic() > until
    answers = rng.randrange(ANSWERS[scene.kind])
    return lambda: len(bought()) >= answers


@pytest.mark.parametrize(("kind", "seed"), few([(kind, seed) for seed in range(4) for kind in KINDS]))
def test_thirty_percent_of_faulty_answers_of_mixed_kinds_change_no_count(rehearsal, kind, seed):
    share = 0.3 / 7
    faults = ("throttled", "server_error", "cut", "slow_body", "broken_json", "truncated", "not_a_completion")
    server = rehearsal(**dict.fromkeys(faults, share), retry_after=0.05)
    scene = Scene(kind, server, ROWS[kind])
    made = scene.run("--seed", seed)
    assert made.code in (0, 3), made.talk
    assert made.said["rows"] + sum(made.said["rejected"].values()) >= scene.rows
    if kind != "many turns":  # whose source ends when a seed is rejected
        assert made.said["rows"] == scene.rows
    durable = receipts(server)
    again = scene.run("--seed", seed)
    assert again.said["calls"] == 0
    assert bought_again(server, durable) == []


@pytest.mark.parametrize(("kind", "seed"), few([(kind, 0) for kind in KINDS[:2]]))
def test_a_storm_of_429_slows_the_build_and_changes_nothing(rehearsal, quiet, kind, seed):
    undisturbed = quiet(Scene(kind, rehearsal(), ROWS[kind]))
    scene = Scene(kind, rehearsal(throttled=0.6, retry_after=0.02), ROWS[kind])
    made = scene.run()
    assert (made.code, made.said["rows"], made.said["in_doubt"]) == (0, scene.rows, 0), made.talk
    check_finished(scene, receipts(scene.server), undisturbed)
    assert set(scene.server.answered.values()) == {1}


@chaos
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_server_that_is_away_for_thirty_seconds_is_waited_for(quiet, kind):
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    first = Rehearsal(Manners(latency=0.1))
    run(first.__aenter__())
    scene = Scene(kind, first, ROWS[kind])
    undisturbed = quiet(scene)
    child = scene.start()
    wait_until(lambda: len(bought()) >= ANSWERS[kind] // 3, child)
    run(first.__aexit__())
    durable = receipts(first)
    time.sleep(30)
    second = Rehearsal(Manners(latency=0.1), port=int(first.url.split(":")[2].split("/")[0]))
    second.answered = first.answered
    run(second.__aenter__())
    _, talk = child.communicate(timeout=120)
    run(second.__aexit__())
    loop.call_soon_threadsafe(loop.stop)
    assert child.returncode == 0, talk
    check_finished(scene._replace(server=second), durable, undisturbed)


JUMPY = """
import os, random, time
_real, _rng, _offset = time.time, random.Random(int(os.environ["JUMPS"])), 0.0
def _jumping():
    global _offset
    if _rng.random() < 0.02:
        _offset = _rng.uniform(-86400, 86400)
    return _real() + _offset
time.time = _jumping
"""


@pytest.mark.parametrize(("kind", "seed"), few([(kind, seed) for seed in range(2) for kind in KINDS], seeds=()))
def test_a_clock_that_jumps_by_hours_changes_nothing(rehearsal, quiet, kind, seed):
    Path("jumpy").mkdir()
    Path("jumpy/sitecustomize.py").write_text(JUMPY)
    server = rehearsal(latency=0.02, batch_seconds=0.5)
    scene = Scene(kind, server, ROWS[kind])
    undisturbed = quiet(scene)
    rng = random.Random(seed)
    jumps = {"PYTHONPATH": f"{Path('jumpy').resolve()}:{Path(__file__).parent.parent}", "JUMPS": str(seed)}
    child = scene.start(env=jumps)
    wait_until(moment(scene, rng), child)
    child.kill()
    child.communicate()
    durable = receipts(server)
    made = scene.run(env=jumps)
    assert made.code == 0, made.talk
    check_finished(scene, durable, undisturbed)


@contextlib.contextmanager
def disk(size: int):
    """A disk of so many bytes; `grow()` gives it room. Skips where this user may not mount one."""
    place = Path("disk").resolve()
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk to be had: {mounted.stderr.decode().strip()}")

    def grow(options: str = "size=1G") -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True, capture_output=True)

    try:
        yield place, grow
    finally:
        subprocess.run(["umount", "-l", place], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("kind", "size", "seed"),
    few([("single calls", 40_000 * n, n) for n in range(1, 32)] + [("many turns", 90_000 * n, n) for n in range(1, 12)], seeds=(9,)),
)  # fmt: skip
def test_a_disk_that_is_full_at_any_point_is_one_line_and_loses_nothing(rehearsal, quiet, kind, size, seed):
    server = rehearsal()
    scene = Scene(kind, server, ROWS[kind])
    undisturbed = quiet(scene)
    with disk(size) as (place, grow):
        where = {"out": str(place / "set"), "ledger": str(place / "ledger.sqlite")}
        full = scene.run(**where)
        assert "Traceback" not in full.talk
        if full.code != 0:
            assert full.code == 2, full.talk
            assert str(place) in full.talk.splitlines()[-1]
        grow()
        durable = receipts(server, where["ledger"])
        made = scene.run(**where)
        assert (made.code, made.said["rows"]) == (0, scene.rows), made.talk
        assert scene.data(where["out"]) == undisturbed
        assert bought_again(server, durable) == []


@pytest.mark.parametrize(("kind", "seed"), few([(kind, seed) for seed in range(3) for kind in KINDS]))
def test_two_writers_on_one_ledger_that_are_both_killed_buy_nothing_durable_twice(rehearsal, quiet, kind, seed):
    rng = random.Random(seed)
    server = rehearsal(latency=0.02, batch_seconds=0.5)
    scene = Scene(kind, server, ROWS[kind])
    undisturbed = quiet(scene)
    children = [scene.start(out=f"set{number}") for number in range(2)]
    for child in children:
        wait_until(moment(scene, rng), child)
        child.kill()
        child.communicate()
    durable = receipts(server)
    time.sleep(0.2)
    for number in range(2):
        made = scene.run(out=f"set{number}")
        assert (made.code, made.said["rows"]) == (0, scene.rows), made.talk
        assert scene.data(f"set{number}") == undisturbed
    assert bought_again(server, durable) == []


def test_a_ledger_that_cannot_be_written_is_one_line_and_stays_as_it_is(rehearsal):
    server = rehearsal()
    scene = Scene("single calls", server, 8)
    with disk(10_000_000) as (place, remount):
        ledger = place / "ledger.sqlite"
        scene.run(ledger=str(ledger))
        before, asked = ledger.read_bytes(), server.asked.total()
        remount("ro")
        refused = scene.run("--seed", 1, ledger=str(ledger), out="other")
        assert refused.code == 2
        assert refused.talk.splitlines()[-1].startswith(f"distill_instructions: ledger {ledger}: ")
        assert (ledger.read_bytes(), server.asked.total()) == (before, asked)


@pytest.mark.parametrize(("part", "seed"), few([(n / 40, n) for n in range(40)], seeds=(0, 13, 29)))
def test_a_corrupt_page_of_the_ledger_is_named_and_nothing_is_written_over_it(rehearsal, quiet, part, seed):
    server = rehearsal()
    scene = Scene("single calls", server, ROWS["single calls"])
    undisturbed = quiet(scene)
    scene.run()
    ledger = Path(".suwen/ledger.sqlite")
    whole = bytearray(ledger.read_bytes())
    page = int.from_bytes(whole[16:18])
    start = int(part * (len(whole) // page)) * page
    whole[start : start + page] = random.Random(seed).randbytes(page)
    ledger.write_bytes(whole)
    bought_before = server.answered.total()
    made = scene.run(out="again")
    assert "Traceback" not in made.talk
    if made.code == 0:  # the page was of no use to this build
        assert scene.data("again") == undisturbed
    else:
        assert made.code == 2
        assert "ledger .suwen/ledger.sqlite: " in made.talk.splitlines()[-1]
        assert not Path("again").exists()
    assert server.answered.total() == bought_before
    assert ledger.read_bytes()[start : start + page] == whole[start : start + page]


def test_the_manifest_and_the_json_line_agree_after_all_this(rehearsal):
    scene = Scene("single calls", rehearsal(), 8)
    made = scene.run()
    stated = json.loads(Path("set/manifest.json").read_text())
    assert (stated["version"], sum(stated["splits"].values())) == (made.said["version"], made.said["rows"])
