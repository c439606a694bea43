"""Two models in consultation through the command line: exact, equal, cheap to repeat, and each case accounted for."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest
from cases import GOOD, ULCER, Scripted, dialogues, many, rejects, role_of, simulate, start, turn_of, write
from conftest import ROOT
from folders import files_of, manifest_is_true
from scenes import bought, wait_until

from schemas.dialogue import SimulatedDialogue

SOURCES = ROOT / "tests" / "data" / "sources"
REHEARSAL = ("--teacher", "rehearsal", "--out", "set")
AT_ONCE = 8


@pytest.fixture
def child() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """`child("--rows", 5, …)`: the command in a process of its own that ends with the test at the latest."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> "subprocess.Popen[str]":
        started.append(start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def alternates(row: SimulatedDialogue) -> bool:
    """From the patient to the doctor, nobody twice running."""
    return [turn.speaker for turn in row.turns] == ["patient", "doctor"] * (len(row.turns) // 2) and len(row.turns) > 1


# ------------------------------------------------------------------ exact and accounted for


@pytest.mark.parametrize("rows", [1, 20])
def test_exactly_the_consultations_asked_for_are_released(rows):
    made = simulate("--cases", write("cases.jsonl", *many(60)), *REHEARSAL, "--rows", rows)
    assert (made.code, made.said["rows"], made.said["version"]) == (0, rows, "1.0.0")
    released = dialogues()
    assert len(released) == rows
    assert all(map(alternates, released))
    assert manifest_is_true(Path("set"))


def test_every_case_is_a_row_or_a_reject_with_its_reason():
    silent = ULCER.model_copy(update={"id": "silent", "complaint": "", "facts": ULCER.facts[5:]})
    made = simulate("--cases", write("cases.jsonl", *many(60), silent, '{"id": "7"}'), *REHEARSAL)
    rejected = Counter(row["reason"] for row in rejects())
    assert made.code == 0
    assert made.said["rows"] == len(dialogues())
    assert made.said["rows"] + sum(made.said["rejected"].values()) == 62
    assert rejected == made.said["rejected"]
    assert rejected["nothing for the patient to tell"] == rejected["unreadable"] == 1
    keys = [row.key for row in dialogues()] + [row["key"] for row in rejects()]
    assert len(set(keys)) == 62


def test_a_case_that_comes_twice_is_rejected_the_second_time():
    made = simulate("--cases", write("cases.jsonl", *many(3), *many(1)), *REHEARSAL, "--keep-flawed")
    assert (made.said["rows"], made.said["rejected"]) == (3, {"key repeated": 1})


def test_a_line_that_is_no_case_is_rejected_with_its_place():
    lines = (*many(2), "{broken", '{"id": "7", "facts": [{"name": "主诉"}], "diagnosis": "胃炎"}')
    made = simulate("--cases", write("cases.jsonl", *lines), "--format", "case", *REHEARSAL, "--keep-flawed")
    assert (made.said["rows"], made.said["rejected"]) == (2, {"unreadable": 2})
    first, second = sorted(row["detail"] for row in rejects())
    assert first.startswith("cases.jsonl: line 3: ")
    assert second.startswith("cases.jsonl: row 4: facts.0.value: ")


def test_too_few_cases_release_nothing_unless_told():
    flags = ("--cases", write("cases.jsonl", *many(3)), *REHEARSAL, "--keep-flawed", "--rows", 5)
    assert simulate(*flags).code == 3
    assert not Path("set").exists()
    assert simulate(*flags, "--short").said["rows"] == 3


# ------------------------------------------------------------------ the same again


def test_the_same_bytes_come_out_at_any_concurrency():
    write("cases.jsonl", *many(24))
    for at_once in (1, 16, 400):
        where = ("--out", f"set{at_once}", "--ledger", f"{at_once}.db", "--at-once", at_once)
        assert simulate("--cases", "cases.jsonl", "--teacher", "rehearsal", *where).code == 0
    assert files_of(Path("set1")) == files_of(Path("set16")) == files_of(Path("set400"))


def test_latency_and_faults_decide_nothing(rehearsal):
    at = rehearsal(latency=0.02, spread=1.0, throttled=0.1, server_error=0.1, cut=0.05).url
    write("cases.jsonl", *many(12))
    flags = ("--cases", "cases.jsonl", "--teacher", "rehearsal@rehearsal", "--keep-flawed")
    simulate(*flags, "--out", "calm", "--ledger", "calm.db", "--base-url", rehearsal().url)
    simulate(*flags, "--out", "stormy", "--ledger", "stormy.db", "--base-url", at)
    assert [row.id for row in dialogues("calm")] == [row.id for row in dialogues("stormy")]


def test_a_second_run_asks_nothing_and_gives_the_same_bytes():
    write("cases.jsonl", *many(12))
    first = simulate("--cases", "cases.jsonl", "--teacher", "rehearsal", "--out", "one")
    again = simulate("--cases", "cases.jsonl", "--teacher", "rehearsal", "--out", "two", "--at-once", 3)
    assert first.said["calls"] > 12 * 3
    assert (again.said["calls"], again.said["from_ledger"]) == (0, first.said["calls"])
    assert files_of(Path("one")) == files_of(Path("two"))


def test_a_rule_can_be_changed_without_a_call():
    write("cases.jsonl", *many(40))
    strict = simulate("--cases", "cases.jsonl", *REHEARSAL, "--min-questions", 3)
    assert strict.said["rejected"]["doctor hardly asked"] > 0
    loose = simulate("--cases", "cases.jsonl", *REHEARSAL, "--min-questions", 0)
    assert loose.said["calls"] == 0
    assert loose.said["rows"] > strict.said["rows"]


def test_two_consultations_over_a_case_differ_and_say_which_they_are():
    made = simulate("--cases", write("cases.jsonl", *many(6)), *REHEARSAL, "--per-case", 2, "--keep-flawed")
    released = {row.key: row for row in dialogues()}
    assert made.said["rows"] == 12
    assert set(released) == {f"case/{number}#{sample}" for number in range(6) for sample in (0, 1)}
    assert all(released[f"case/{number}#0"].turns != released[f"case/{number}#1"].turns for number in range(6))


def test_a_flag_may_end_it_instead_of_a_word():
    flags = ("--cases", write("cases.jsonl", *many(12)), *REHEARSAL)
    made = simulate(*flags, "--end-by", "flag", "--keep-flawed", "--rows", 10)
    assert (made.code, made.said["rows"]) == (0, 10)
    assert sum(row.measured.ended == "patient" for row in dialogues()) >= 7
    assert all("再见" not in turn.text for row in dialogues() for turn in row.turns)


def test_a_row_loads_everywhere_and_says_where_it_comes_from():
    simulate("--cases", write("cases.jsonl", *many(8)), *REHEARSAL, "--keep-flawed", "--license", "cc-by-4.0")
    assert datasets.load_dataset("set", "simulated_dialogues")["train"].num_rows > 0
    for row in dialogues():
        known, figures = row.provenance, {figure.name: figure.value for figure in row.provenance.filters}
        assert (known.builder, known.license, known.source_row) == ("simulate_dialogues", "cc-by-4.0", row.case.id)
        assert [use.name for use in known.prompts] == ["simulate_patient", "simulate_doctor"]
        assert (known.teachers, known.rehearsal) == (("rehearsal",), True)
        assert len(known.calls) in (len(row.turns), len(row.turns) + 1, len(row.turns) + 2)
        assert figures["turns"] == len(row.turns) / 2
        assert figures["questions"] == row.measured.questions
        assert figures["facts_elicited"] <= figures["facts_to_elicit"] <= 5


def test_a_dry_run_counts_both_speakers_and_asks_nobody():
    made = simulate("--cases", write("cases.jsonl", *many(10)), *REHEARSAL, "--dry-run")
    assert made.code == 0
    assert made.said["calls"] == 10 * 2 * 4
    assert not Path("set").exists()


# ------------------------------------------------------------------ who is asked what


def two_endpoints(patient: str, doctor: str) -> tuple[str, ...]:
    """Flags for a patient and a doctor who are served in different places."""
    Path("suwen.toml").write_text(
        f'[endpoints.home]\nbase_urls = ["{patient}/v1"]\n[endpoints.clinic]\nbase_urls = ["{doctor}/v1"]\n'
    )
    return ("--patient", "p@home", "--doctor", "d@clinic")


DISCREET = (
    "医生您好，胃疼。",
    "您好，疼了多久了？对什么药过敏吗？",
    "上腹隐痛两周了，对青霉素过敏。",
    "您这像是消化方面的毛病，建议清淡饮食，按时休息。",
    "好的，谢谢医生，再见",
)


def test_two_endpoints_each_hear_their_own_role_and_nothing_of_the_others(serve):
    home, clinic = Scripted(*DISCREET), Scripted(*DISCREET)
    who = two_endpoints(serve(home.answer), serve(clinic.answer))
    made = simulate("--cases", write("cases.jsonl", ULCER), *who, "--out", "set", "--keep-flawed")
    assert (made.code, made.said["rows"], made.said["calls"]) == (0, 1, 5)
    assert [(role_of(body), body["model"]) for body in home.bodies] == [("patient", "p")] * 3
    assert [(role_of(body), body["model"]) for body in clinic.bodies] == [("doctor", "d")] * 2
    for request in home.heard("patient"):
        assert not any(word in request for word in ("十二指肠", "奥美拉唑", "溃疡", "自行停药"))
    first, second = clinic.heard("doctor")
    assert not any(word in first for word in ("青霉素", "两周", "45岁", "自行停药"))
    assert "青霉素" in second
    assert "45岁" not in second
    assert dialogues()[0].provenance.teachers == ("p@home", "d@clinic")


def test_a_teacher_alone_plays_both_and_gives_way_to_a_named_one(serve):
    both, doctor = Scripted(*GOOD), Scripted(*GOOD)
    Path("suwen.toml").write_text(
        f'[endpoints.a]\nbase_urls = ["{serve(both.answer)}/v1"]\n'
        f'[endpoints.b]\nbase_urls = ["{serve(doctor.answer)}/v1"]\n'
    )
    write("cases.jsonl", ULCER)
    assert simulate("--cases", "cases.jsonl", "--teacher", "m@a", "--out", "one").said["calls"] == 5
    assert [role_of(body) for body in both.bodies] == ["patient", "doctor", "patient", "doctor", "patient"]
    simulate("--cases", "cases.jsonl", "--teacher", "m@a", "--doctor", "d@b", "--out", "two", "--ledger", "2.db")
    assert [role_of(body) for body in both.bodies[5:]] == ["patient"] * 3
    assert [role_of(body) for body in doctor.bodies] == ["doctor"] * 2


def test_two_rehearsals_answer_one_role_each(rehearsal):
    home, clinic = rehearsal(), rehearsal()
    who = two_endpoints(home.url.removesuffix("/v1"), clinic.url.removesuffix("/v1"))
    made = simulate("--cases", write("cases.jsonl", *many(6)), *who, "--out", "set", "--keep-flawed")
    said = sum(len(row.turns) // 2 for row in dialogues())
    assert sum(home.asked.values()) + sum(clinic.asked.values()) == made.said["calls"]
    assert sum(clinic.asked.values()) >= said
    assert set(home.asked) & set(clinic.asked) == set()


# ------------------------------------------------------------------ where cases come from

TRIPLES = "".join(
    f"偏头痛\t{relation}\t{tail}\n"
    for relation, tail in (
        ("症状", "恶心"), ("症状", "呕吐"), ("症状", "头痛"), ("症状", "畏光"), ("科室", "神经内科"), ("检查", "头颅CT"),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "format", "cases", "key"),
    [
        ("cases.jsonl", "case", 2, "case/"),
        ("ai_hospital_cases.jsonl", "ai_hospital", 3, "ai_hospital/"),
        ("huatuo_cases.json", "huatuo_cases", 2, "huatuo_cases/"),
        ("toyhom.csv", "toyhom", 3, "toyhom/"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "told from it"])
def test_every_format_gives_consultations_over_its_rows(file, format, cases, key, named):
    flags = ("--format", format) if named else ()
    made = simulate("--cases", SOURCES / file, *flags, *REHEARSAL, "--keep-flawed")
    assert made.code == 0, made.talk
    assert made.said["rows"] + sum(made.said["rejected"].values()) == cases
    assert made.said["rows"] > 0
    assert all(row.key.startswith(key) and row.provenance.source == (row.case.source or format) for row in dialogues())


def test_a_graph_gives_patients_and_the_card_names_its_file():
    Path("graph.tsv").write_text(TRIPLES, encoding="utf-8")
    made = simulate("--cases", "graph.tsv", "--format", "graph", *REHEARSAL, "--keep-flawed")
    (row,) = dialogues()
    assert (made.code, row.key, row.case.diagnosis) == (0, "graph/偏头痛/0#0", "偏头痛")
    assert row.provenance.source
    assert "graph.tsv" in Path("set/README.md").read_text()


def test_private_things_of_a_case_reach_no_server_and_no_row(rehearsal):
    server = rehearsal()
    private = many(1)[0].model_copy(update={"complaint": "胃疼，我的电话13812345678，微信号wx_zhang88"})
    where = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url, "--out", "set", "--keep-flawed")
    assert simulate("--cases", write("cases.jsonl", private), *where).code == 0
    (row,) = dialogues()
    assert "13812345678" not in row.model_dump_json()
    assert "wx_zhang88" not in row.model_dump_json()
    assert {figure.name for figure in row.provenance.filters if figure.name.startswith("masked_")}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--cases: Field required"),
        (("--cases", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--cases", "nowhere", "--format", "graph"), "nowhere"),
        (("--cases", "cases.jsonl", "--format", "nonsense"), "--format nonsense: no such format"),
        (("--cases", "cases.jsonl", "--format", "grap"), "did you mean graph"),
        (("--cases", "cases.jsonl", "--format", "graph"), "cases.jsonl"),
        (("--cases", "cases.jsonl", "--end-by", "wink"), "--end-by"),
        (("--cases", "cases.jsonl", "--per-case", 0), "--per-case"),
        (("--cases", "cases.jsonl", "--max-turns", 0), "--max-turns"),
        (("--cases", "cases.jsonl", "--min-questions", -1), "--min-questions"),
        (("--cases", "cases.jsonl", "--columns", "ask"), "--columns"),
        (("--cases", "cases.jsonl", "--columns", "question=ask"), "--columns"),
        (("--cases", "cases.jsonl", "--words", "nowhere.txt"), "nowhere.txt"),
        (("--cases", "cases.jsonl", "--doktor", "m"), "did you mean --doctor?"),
        (("--cases", "odd.jsonl"), "--format"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_code_2(flags, message):
    write("cases.jsonl", ULCER)
    write("odd.jsonl", '{"a": 1}')
    made = simulate(*flags, *REHEARSAL)
    assert made.code == 2
    assert message in made.talk
    assert "Traceback" not in made.talk
    assert not Path("set").exists()


@pytest.mark.parametrize(("given", "missing"), [("--doctor", "--patient"), ("--patient", "--doctor")])
def test_one_speaker_without_the_other_is_asked_for(given, missing):
    made = simulate("--cases", write("cases.jsonl", ULCER), given, "rehearsal", "--out", "set")
    assert made.code == 2
    assert f"{missing}: nobody to ask" in made.talk


# ------------------------------------------------------------------ what is not worth keeping

OPENING, ASKS, TELLS, CONCLUDES, THANKS = GOOD
FLAWED = {
    "leaks the chart": (OPENING, ASKS, TELLS, "根据资料，参考诊断是十二指肠溃疡，建议服药。", THANKS),
    "premature diagnosis": (OPENING, "您好，您这是十二指肠溃疡，建议服药。", THANKS),
    "doctor hardly asked": (OPENING, "您好，先注意休息，清淡饮食。", THANKS),
    "patient contradicts the case": (OPENING, "您好，发热吗？", "有点发热。", CONCLUDES, THANKS),
    "no conclusion": (OPENING, *("您好，疼了多久了？", "两周了。") * 8),
}
BEYOND_KEEPING = {
    "patient said nothing": (OPENING, ASKS, "", CONCLUDES),
    "doctor said nothing": (OPENING, " "),
    "patient talks without end": ("疼" * 2001,),
    "doctor talks without end": (OPENING, "疼" * 2001),
    "nothing but courtesy": ("您好。", "您好，再见"),
    "private in the answer": (OPENING, ASKS, TELLS, "建议服药，我的电话是13812345678。", THANKS),
}


def held(serve, *said: str, flags: tuple[object, ...] = ()):
    """A run over one case by this script."""
    server = Scripted(*said)
    where = ("--teacher", "m", "--base-url", f"{serve(server.answer)}/v1", "--out", "set", "--ledger", "scripted.db")
    return simulate("--cases", write("case.jsonl", ULCER), *where, *flags)


@pytest.mark.parametrize("reason", [*FLAWED, *BEYOND_KEEPING])
def test_every_flaw_is_a_reject_of_its_own(serve, reason):
    made = held(serve, *{**FLAWED, **BEYOND_KEEPING}[reason])
    assert (made.code, made.said["rows"], made.said["rejected"]) == (3, 0, {reason: 1})


def test_a_good_consultation_is_kept_word_for_word(serve):
    assert held(serve, *GOOD).said["rows"] == 1
    (row,) = dialogues()
    assert [turn.text for turn in row.turns] == list(GOOD[:4])
    assert [turn.act for turn in row.turns] == ["", "ask", "", "advise"]
    assert row.measured.elicited == ("主诉", "过敏史")
    assert row.inquiry_rate == 0.5


@pytest.mark.parametrize("reason", FLAWED)
def test_flawed_ones_are_kept_when_told_and_say_what_is_wrong(serve, reason):
    made = held(serve, *FLAWED[reason], flags=("--keep-flawed",))
    assert (made.code, made.said["rows"]) == (0, 1)
    (row,) = dialogues()
    found, figures = row.measured, {figure.name: figure.value for figure in row.provenance.filters}
    seen = {
        "leaks the chart": bool(found.leaks) and figures["leaks"] >= 1,
        "premature diagnosis": found.premature and figures["premature_diagnosis"] == 1,
        "doctor hardly asked": found.questions == 0 and figures["questions"] == 0,
        "patient contradicts the case": len(found.contradictions) == 1 and figures["contradictions"] == 1,
        "no conclusion": found.ended == "max_turns" and found.first_diagnosis == 0,
    }
    assert seen[reason], found


@pytest.mark.parametrize("reason", BEYOND_KEEPING)
def test_what_is_no_consultation_is_not_kept_even_then(serve, reason):
    assert held(serve, *BEYOND_KEEPING[reason], flags=("--keep-flawed",)).said["rejected"] == {reason: 1}


def test_a_reject_keeps_the_case_and_what_was_said(serve):
    server = Scripted(*GOOD, second=FLAWED["leaks the chart"])
    where = ("--teacher", "m", "--base-url", f"{serve(server.answer)}/v1", "--out", "set", "--per-case", 2)
    made = simulate("--cases", write("cases.jsonl", ULCER), *where)
    assert (made.said["rows"], made.said["rejected"]) == (1, {"leaks the chart": 1})
    (kept,) = rejects()
    assert kept["key"] == "case/胃/1#1"
    assert "根据资料" in kept["detail"]
    assert "上腹隐痛两周" in kept["row"]


def test_so_many_contradictions_may_be_allowed(serve):
    talk = FLAWED["patient contradicts the case"]
    assert held(serve, *talk, flags=("--max-contradictions", 1)).said["rows"] == 1


def test_max_turns_ends_a_consultation_that_does_not_end(serve):
    asks = ("您好，疼了多久了？", "两周了。")
    made = held(serve, OPENING, *asks * 8, flags=("--max-turns", 3, "--keep-flawed"))
    assert made.said["calls"] == 6
    assert len(dialogues()[0].turns) == 6


# ------------------------------------------------------------------ killed and stopped


def flags(server, cases: int = 30) -> tuple[object, ...]:
    """A run over so many cases against a rehearsal that counts."""
    write("cases.jsonl", *many(cases))
    where = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url, "--out", "set", "--at-once", AT_ONCE)
    return ("--cases", "cases.jsonl", *where)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_run_is_finished_by_the_next_and_no_answered_turn_is_bought_again(rehearsal, child, seed):
    server = rehearsal(latency=0.03, spread=0.5)
    process = child(*flags(server))
    fatal = random.Random(seed).randint(10, 150)
    wait_until(lambda: len(bought()) >= fatal, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.3)  # let the server finish what it was sent
    durable, before = bought(), Counter(server.asked)
    assert len(durable) >= fatal
    again = simulate(*flags(server))
    assert again.code == 0, again.talk
    assert not [key for key in before if key[:16] in durable and server.asked[key] > before[key]]
    assert sum(server.asked.values()) - len(server.asked) <= AT_ONCE
    quiet = simulate(*flags(server), "--ledger", "fresh.sqlite", "--out", "quiet")
    assert quiet.said["rows"] == again.said["rows"]
    assert files_of(Path("set")) == files_of(Path("quiet"))


def test_a_run_goes_on_inside_its_dialogues(serve, child):
    server, stuck = Scripted(*GOOD), threading.Event()

    async def hang(number):
        if number == 3 and not stuck.is_set():
            stuck.set()
            await asyncio.sleep(2)

    server.when = hang
    where = ("--teacher", "m", "--base-url", f"{serve(server.answer)}/v1", "--out", "set", "--at-once", 1)
    process = child("--cases", write("cases.jsonl", ULCER), *where)
    wait_until(stuck.is_set, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [turn_of(body) for body in server.bodies] == [0, 1, 2, 3]
    again = simulate("--cases", "cases.jsonl", *where)
    assert (again.said["rows"], again.said["from_ledger"], again.said["calls"]) == (1, 3, 2)
    assert [turn_of(body) for body in server.bodies[4:]] == [3, 4]


def test_ctrl_c_lets_turns_in_flight_land_and_the_next_run_goes_on(rehearsal, child):
    server = rehearsal(latency=0.1)
    process = child(*flags(server))
    wait_until(lambda: len(bought()) >= 20, process)
    process.send_signal(signal.SIGINT)
    out, talk = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "the same command goes on where it stood" in talk
    assert json.loads(out.splitlines()[-1])["path"] is None
    assert len(bought()) == sum(server.answered.values())
    assert simulate(*flags(server)).code == 0
    assert max(server.asked.values()) == 1


# ------------------------------------------------------------------ the ledger, and many at once


def bodies(ledger: str) -> list[bytes]:
    """Every answer of a ledger as it came."""
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        return [zlib.decompress(body) for (body,) in db.execute("SELECT body FROM answers")]


def test_the_ledger_holds_every_turn_once_and_no_history(serve):
    marker = "记号甲乙丙丁"
    talk = [f"{marker}，胃疼。" if at == 0 else f"疼吗疼吗第{at:02d}次疼吗？" for at in range(64)]
    url = f"{serve(Scripted(*talk).answer)}/v1"
    write("case.jsonl", ULCER)
    sizes = {}
    for turns in (8, 16, 32):
        where = ("--out", f"set{turns}", "--ledger", f"{turns}.db", "--base-url", url, "--teacher", "m")
        made = simulate("--cases", "case.jsonl", *where, "--max-turns", turns, "--keep-flawed")
        assert made.said["calls"] == 2 * turns
        sizes[turns] = sum(map(len, bodies(f"{turns}.db")))
        assert sum(marker in json.dumps(json.loads(body), ensure_ascii=False) for body in bodies(f"{turns}.db")) == 1
        assert marker.encode() not in b"".join(
            path.read_bytes() for path in Path().glob(f"{turns}.db*") if path.is_file()
        )
    assert sizes[16] - sizes[8] == pytest.approx((sizes[32] - sizes[16]) / 2, rel=0.02)


@pytest.mark.slow
def test_a_thousand_consultations_at_once_are_a_thousand_rows():
    made = simulate("--cases", write("cases.jsonl", *many(1300)), *REHEARSAL, "--rows", 1000, "--at-once", 1000)
    assert (made.code, made.said["rows"]) == (0, 1000)
    released = dialogues()
    assert len({row.key for row in released}) == 1000
    assert all(map(alternates, released))
