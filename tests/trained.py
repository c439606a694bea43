"""The supervised trainer as a command: rows to give it, a fast way to call it, and what it leaves behind.

A call of its own costs eight seconds of imports. `Warm` pays them once: a process that has imported the libraries and done
nothing else is forked for every command, and the fork is `python -m trainers.sft` from its first line to its exit code.
"""

import atexit
import contextlib
import hashlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from conftest import ROOT, Outcome, outcome

from builders.engine.folder import as_json
from builders.engine.parquet import ParquetShards
from builders.engine.release import hashes
from schemas.base import Provenance
from schemas.features import arrow_schema
from schemas.instruction import Instruction

COMMAND = "trainers.sft"
IMPORTED = ("torch", "transformers", "trl", "peft", "deepspeed", "datasets", "pyarrow", "matplotlib", "tensorboard")
LONGEST = 240.0
"""Seconds a command may take before a test gives up on it."""
SMALL = ("--model", "new:tiny", "--max-length", 256, "--batch", 8, "--micro-batch", 4, "--learning-rate", 4e-3)
SMALL += ("--track", "none")

COMPLAINTS = ("胃疼", "头晕", "咳嗽", "失眠", "心慌", "腰痛", "便秘", "皮疹", "耳鸣", "乏力", "反酸", "关节痛")
SINCE = ("三天", "一周", "半个月", "一个多月", "昨天晚上")
WORSE = ("饭后", "夜里", "劳累以后", "受凉以后", "早上起来")
ADVICE = (
    "建议先到{}做相关检查，明确原因后再用药，饮食宜清淡，避免辛辣。",
    "这种情况先观察两三天，注意休息，多喝温水，如果加重请到{}就诊。",
    "考虑和近期的生活习惯有关，可以先调整作息，必要时到{}进一步评估。",
)
WHERE = ("消化内科", "神经内科", "呼吸内科", "心血管内科", "骨科", "皮肤科")


class Message(NamedTuple):
    """Who says what."""

    role: str
    content: str

    def told(self) -> dict[str, str]:
        """As it stands in a row."""
        return {"role": self.role, "content": self.content}


def asked(number: int) -> str:
    """A patient's question; no two of the first 300 are the same, and none are near-duplicates."""
    complaint, since, worse = (
        words[number // step % len(words)]
        for words, step in ((COMPLAINTS, 1), (SINCE, len(COMPLAINTS)), (WORSE, len(COMPLAINTS) * len(SINCE)))
    )
    age = 20 + number * 7 % 60
    return f"医生您好，我今年{age}岁，{complaint}{since}了，{worse}更明显，第{number}次来问，该怎么办？"


def answered(number: int) -> str:
    """A doctor's answer."""
    return ADVICE[number % len(ADVICE)].format(WHERE[number % len(WHERE)]) + f"复诊请带上编号{number}。"


def consultation(number: int) -> dict[str, Any]:
    """One question and one answer."""
    said = (Message("user", asked(number)), Message("assistant", answered(number)))
    return {"messages": [one.told() for one in said]}


def clinic(name: str, rows: Sequence[dict[str, Any]] | int = 48, first: int = 0) -> Path:
    """A JSON Lines file of rows; of so many consultations when `rows` is a number."""
    path = Path(name)
    listed = [consultation(number) for number in range(first, first + rows)] if isinstance(rows, int) else rows
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed), encoding="utf-8")
    return path


class Running:
    """A command in a process of its own, which a test may signal."""

    def __init__(self, job: Path) -> None:
        self.job = job
        self._deadline = time.monotonic() + LONGEST

    @property
    def talk(self) -> str:
        """What it has said to people so far."""
        return (self.job / "talk").read_text(encoding="utf-8", errors="replace")

    @property
    def ended(self) -> bool:
        """Whether its exit code is known."""
        return (self.job / "code").exists()

    def signal(self, number: int) -> None:
        """Send it a signal; it must still be there."""
        os.kill(int((self.job / "pid").read_text()), number)

    def until(self, happened: Callable[[], bool]) -> bool:
        """Wait until `happened()`; False when the command ended before."""
        while not happened():
            if self.ended:
                return happened()
            assert time.monotonic() < self._deadline, self.talk
            time.sleep(0.002)
        return True

    def outcome(self) -> Outcome:
        """How it ended; waits for the end. A killed process has minus its signal for a code."""
        self.until(lambda: self.ended)
        code = int((self.job / "code").read_text())
        return outcome(code, self.talk, (self.job / "out").read_text(encoding="utf-8"))


class Warm:
    """Starts commands out of a process that has the libraries."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._jobs = folder, 0
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._mother = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=folder,
        )

    def start(self, *flags: object, env: dict[str, str] | None = None) -> Running:
        """`python -m trainers.sft FLAGS` in the current folder."""
        self._jobs += 1
        job = self._folder / f"job-{self._jobs}"
        job.mkdir()
        for name in ("talk", "out"):
            (job / name).touch()
        order = {"job": str(job), "cwd": str(Path.cwd()), "flags": list(map(str, flags)), "env": env or {}}
        assert self._mother.stdin
        self._mother.stdin.write(json.dumps(order) + "\n")
        self._mother.stdin.flush()
        running = Running(job)
        running.until(lambda: (job / "pid").exists())
        return running

    def __call__(self, *flags: object, env: dict[str, str] | None = None) -> Outcome:
        """`python -m trainers.sft FLAGS`, to its end."""
        return self.start(*flags, env=env).outcome()

    def close(self) -> None:
        """Send the mother home, and whatever still runs with her."""
        for job in self._folder.glob("job-*"):
            if not (job / "code").exists():
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    os.kill(int((job / "pid").read_text()), signal.SIGKILL)
        assert self._mother.stdin
        self._mother.stdin.close()
        self._mother.wait(30)
        shutil.rmtree(self._folder)


@cache
def commands() -> Warm:
    """The one that all tests share."""
    warm = Warm(Path(tempfile.mkdtemp(prefix="suwen-tests-")))
    atexit.register(warm.close)
    return warm


def cold(*flags: object, env: dict[str, str] | None = None) -> Outcome:
    """The command as users start it, imports and all."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})}
    ended = subprocess.run(
        [sys.executable, "-m", COMMAND, *map(str, flags)], env=environment, capture_output=True, text=True
    )
    return outcome(ended.returncode, ended.stderr, ended.stdout)


@contextmanager
def at_home(folder: Path) -> Iterator[Path]:
    """Work in a folder."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def in_words(ended: Outcome, code: int = 2) -> str:
    """The one line of a command that refused; whatever it had said before is progress or the preflight's report."""
    assert ended.code == code, ended.talk
    assert "Traceback" not in ended.talk, ended.talk
    lines = [line for line in ended.talk.splitlines() if line.startswith("sft: ")]
    assert len(lines) == 1, ended.talk
    assert ended.talk.splitlines()[-1] == lines[0], ended.talk
    assert ended.said == {}
    return lines[0]


def weights(out: Path | str) -> str:
    """SHA-256 of the weights in a folder."""
    return hashlib.sha256(Path(out, "model.safetensors").read_bytes()).hexdigest()


def release(name: str, splits: Mapping[str, Sequence[Instruction]], **stated: Any) -> Path:
    """A release folder as a builder leaves it, with one config."""
    folder = Path(name)
    config = "distilled_instructions"
    with ParquetShards(folder / config, arrow_schema(Instruction)) as shards:
        for split, rows in splits.items():
            for row in rows:
                shards.add(split, row.record())
    everything = [row.id for rows in splits.values() for row in rows]
    manifest = {
        "version": "1.0.0",
        "content": hashlib.sha256(repr(everything).encode()).hexdigest(),
        "config": config,
        "builder": "distill_instructions",
        "code_version": "0.1.0",
        "settings": {"seed": 0},
        "teachers": ["scripted@host"],
        "prompts": {"ask": "a" * 64},
        "ledger_digest": "d" * 64,
        "rehearsal": any(row.provenance.rehearsal for rows in splits.values() for row in rows),
        "files": dict(hashes(folder)),
    }
    (folder / "manifest.json").write_bytes(as_json({**manifest, **stated}))
    return folder


def instruction(number: int, **provenance: Any) -> Instruction:
    """A consultation as a row of a release, under a licence unless `provenance` says otherwise."""
    about = {"source": "seeds", "license": "cc-by-4.0", "teachers": ("scripted@host",), "cluster": f"c{number}"}
    return Instruction(
        key=f"seed-{number}",
        department="消化内科",
        role="患者",
        instruction=asked(number),
        output=answered(number),
        provenance=Provenance(**{**about, **provenance}),
    )


def told(out: Path | str) -> dict[str, Any]:
    """training.json."""
    found: dict[str, Any] = json.loads(Path(out, "training.json").read_text(encoding="utf-8"))
    return found


def _mother() -> None:
    """Import, then fork a minder for every line on stdin."""
    from trainers.engine.command import keep_quiet

    keep_quiet()
    for name in IMPORTED:
        __import__(name)
    __import__("trainers.engine.supervised")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # minders are nobody's concern
    for line in sys.stdin:
        if os.fork() == 0:
            _mind(json.loads(line))


def _mind(order: dict[str, Any]) -> None:
    """Run one command in a child, and write down its process id and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    job = Path(order["job"])
    child = os.fork()
    if child == 0:
        os.setsid()
        _become(order, job)
    _write(job / "pid", child)
    _, status = os.waitpid(child, 0)
    _write(job / "code", os.waitstatus_to_exitcode(status))
    os._exit(0)


def _write(path: Path, number: int) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(str(number))
    draft.replace(path)


def _become(order: dict[str, Any], job: Path) -> None:
    """Be the command."""
    for stream, name in ((0, os.devnull), (1, job / "out"), (2, job / "talk")):
        os.dup2(os.open(name, os.O_RDONLY if stream == 0 else os.O_WRONLY), stream)
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    sys.argv = [COMMAND, *order["flags"]]
    try:
        runpy.run_module(COMMAND, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _mother()
