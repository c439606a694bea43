"""The supervised trainer spread over processes: rows that divide evenly, commands to signal, and runs held against each other."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conftest import ROOT, Outcome, outcome

LONGEST = 200.0
"""Seconds a command may take before a test gives up on it and ends it."""
STEPS = 16
SHAPE = "--batch 8 --micro-batch 2 --epochs 2 --max-length 120 --learning-rate 1e-3 --weight-decay 0.1"
"""Two epochs of eight steps; gradients are clipped at every one of them, for their norms are 3 to 10."""
PEOPLE = ("我父亲今年六十八岁", "孩子刚满三岁", "同事怀孕四个月", "奶奶有高血压", "弟弟读高中", "邻居做过心脏支架")
TROUBLES = (
    ("饭后上腹胀痛反酸", "考虑慢性胃炎，可以口服奥美拉唑20mg，早餐前半小时服用", "两周后复查胃镜，查幽门螺杆菌"),
    ("夜里干咳没有痰", "多半是过敏性咳嗽，孟鲁司特每晚一次", "先查血常规和胸片，排除肺炎"),
    ("起床时头晕站不稳", "要测立卧位血压，排除体位性低血压", "颈椎病和耳石症也要想到，可以做一次复位"),
    ("膝盖上下楼疼", "像膝关节退行性变，少爬楼", "拍一张负重位片，必要时做核磁看半月板"),
    ("入睡困难多梦", "先调整作息，睡前两小时不看手机", "一个月不见好，请到睡眠门诊做评估"),
    ("手背起红疹发痒", "像接触性皮炎，外用炉甘石洗剂", "别用热水烫，近期换过的洗涤剂先停"),
    ("右下牙肿痛", "智齿冠周炎常见，甲硝唑漱口", "消肿以后拍片，再决定是否拔除"),
    ("心慌出汗手抖", "查甲状腺功能、血糖和心电图", "发作时请记下脉搏，带来复诊"),
    ("腰酸腿麻", "腰椎间盘突出要排除，平卧休息", "大小便有异常请立即急诊"),
)
CLOSING = "如果三天内加重，或者出现高热、胸痛、意识不清，请马上到急诊就诊。"


def consultation(number: int) -> dict[str, Any]:
    """A question of one line; an answer of five characters or of eighty, so that a token and a row do not weigh the same."""
    who, (trouble, treatment, check) = PEOPLE[number % 6], TROUBLES[number // 8]
    answers = (
        f"{treatment}。",
        f"您好，{treatment}。{check}。",
        "先去急诊。",
        f"您好，{treatment}。{check}。{CLOSING}",
    )
    said = (f"{who}，{trouble}{number + 2}天了，怎么办？", answers[number % 7 % 4])
    return {
        "messages": [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said, strict=True)]
    }


def clinic(folder: Path) -> Path:
    """64 rows to train on, 8 steps of 8 an epoch over 1, 2, 4 or 8 processes; and 8 held-out ones."""
    folder.mkdir(parents=True)
    for name, numbers in (("train", range(64)), ("validation", range(64, 72))):
        lines = [json.dumps(consultation(number), ensure_ascii=False) + "\n" for number in numbers]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


class Command:
    """`python -m trainers.sft FLAGS` in a process of its own, under a launcher where one is given."""

    def __init__(self, *flags: object, launcher: Sequence[str] = ()) -> None:
        words = [sys.executable, *launcher, "-m", "trainers.sft", *map(str, flags)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.printed = ""
        """Its whole stdout, once it has ended."""
        self._deadline = time.monotonic() + LONGEST

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened; the command must not end before."""
        while not happened():
            assert self.process.poll() is None, self.ends().talk
            assert time.monotonic() < self._deadline
            time.sleep(0.005)

    def ends(self) -> Outcome:
        """How it ended; waits for the end."""
        try:
            out, talk = self.process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            self.killed()
            raise
        self.printed = out
        return outcome(self.process.returncode, talk, out)

    def killed(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.communicate()


class Finished(NamedTuple):
    """A run that was left in peace."""

    out: Path
    printed: str
    """Its whole stdout."""
    said: dict[str, Any]
    """Its figures."""


class Clinic:
    """A folder with rows in it, where commands are run; a finished run is kept for all who ask for the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Command] = []
        self._rows = clinic(folder / "rows")
        self._finished: dict[tuple[object, ...], Finished] = {}

    def start(self, out: Path, *more: object, launcher: Sequence[str] = (), model: object = "new:tiny") -> Command:
        """A command under way; of flags given twice, those in `more` count."""
        places = ("--model", model, "--data", self._rows, "--out", out)
        self.started.append(
            Command(*places, *SHAPE.split(), "--eval-every", STEPS, "--track", "none", *more, launcher=launcher)
        )
        return self.started[-1]

    def run(self, profile: str, *more: object, processes: int = 2, model: object = "new:tiny") -> Finished:
        """A run of this profile that was left in peace."""
        asked = (profile, processes, model, *more)
        if asked not in self._finished:
            out = self.folder / f"{profile}-{len(self.started)}"
            command = self.start(out, *spread(profile, processes), *more, model=model)
            ended = command.ends()
            assert (ended.code, ended.said.get("profile")) == (0, profile), ended.talk
            self._finished[asked] = Finished(out, command.printed, ended.said)
        return self._finished[asked]

    def trained(self, profile: str, *more: object, processes: int = 2, model: object = "new:tiny") -> Path:
        """OUT of such a run."""
        return self.run(profile, *more, processes=processes, model=model).out


def spread(profile: str, processes: int = 2) -> tuple[object, ...]:
    """The flags that spread a run."""
    return ("--profile", profile, *(() if profile == "single" else ("--processes", processes)))


def in_words(ended: Outcome, code: int) -> str:
    """What a command that did not finish says last, its one line for people."""
    lines = [line for line in ended.talk.splitlines() if line.startswith("sft: ")]
    assert (ended.code, lines, ended.said) == (code, ended.talk.splitlines()[-1:], {}), ended.talk
    return lines[0]


def checkpoint(out: Path, least: int = 1) -> Path | None:
    """The newest whole checkpoint, when it has at least so many steps behind it."""
    steps = [int(path.name.partition("-")[2]) for path in out.glob("checkpoint-*")]
    newest = max(steps, default=0)
    return out / f"checkpoint-{newest}" if newest >= least else None


# --- processes of a run ---


def processes_of(out: Path) -> dict[int, str]:
    """Living processes that name a folder: id -> rank, "" where it is no worker."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = str(out).encode() in (entry / "cmdline").read_bytes()
            if named and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                told = (entry / "environ").read_bytes().split(b"\0")
                ranks = [one.removeprefix(b"RANK=").decode() for one in told if one.startswith(b"RANK=")]
                found[int(entry.name)] = "".join(ranks)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def kill_worker(out: Path, rank: int) -> None:
    """`kill -9` of one process of many."""
    (worker,) = [process for process, held in processes_of(out).items() if held == str(rank)]
    os.kill(worker, signal.SIGKILL)


def all_gone(out: Path, within: float = 10.0) -> bool:
    """Whether no process names a folder any more, after a while."""
    until = time.monotonic() + within
    while processes_of(out) and time.monotonic() < until:
        time.sleep(0.05)
    return not processes_of(out)


# --- two runs held against each other ---


class Apart(NamedTuple):
    """How far two runs are apart at most; the first four relative to the value itself."""

    loss: float
    grad_norm: float
    learning_rate: float
    held_out: float
    weights: float
    """Largest difference of any single weight."""


def history(out: Path) -> list[dict[str, float]]:
    """What was logged at each step, and at each measurement between them, as the last checkpoint has it."""
    last = checkpoint(out)
    assert last is not None
    logged: list[dict[str, float]] = json.loads((last / "trainer_state.json").read_text())["log_history"]
    return logged


def curve(out: Path, name: str) -> list[float]:
    """The logged values of a figure, step by step."""
    return [entry[name] for entry in history(out) if name in entry]


def tensors(out: Path) -> dict[str, Any]:
    """The trained weights as they stand in the file."""
    from safetensors.torch import load_file

    adapters = out / "adapter_model.safetensors"
    return dict(load_file(adapters if adapters.exists() else out / "model.safetensors"))


def apart(one: Path, other: Path) -> Apart:
    """How far two finished runs are apart."""
    held_out = [name for name in ("eval_held_out_loss", "eval_general_probe_loss") if curve(one, name)]
    assert len(held_out) == 2
    return Apart(
        loss=_furthest(curve(one, "loss"), curve(other, "loss")),
        grad_norm=_furthest(curve(one, "grad_norm"), curve(other, "grad_norm")),
        learning_rate=_furthest(curve(one, "learning_rate"), curve(other, "learning_rate")),
        held_out=max(_furthest(curve(one, name), curve(other, name)) for name in held_out),
        weights=_furthest_weight(tensors(one), tensors(other)),
    )


def _furthest(these: Sequence[float], those: Sequence[float]) -> float:
    assert len(these) == len(those) > 0
    assert all(map(math.isfinite, (*these, *those)))
    return max(abs(this - that) / (abs(this) or 1.0) for this, that in zip(these, those, strict=True))


def _furthest_weight(these: dict[str, Any], those: dict[str, Any]) -> float:
    shared = these.keys() & those.keys()
    assert len(shared) >= len(these) - 1  # a head tied to the embeddings stands in the file or does not
    return max(float((these[name].float() - those[name].float()).abs().max()) for name in shared)
