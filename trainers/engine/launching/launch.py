"""How a run is spread over processes: which profile, which batch maths, and the start of the processes.

single          in this process
ddp             python -m torch.distributed.run … -m trainers.engine.launching.worker OUT
zero2, zero3    python -m accelerate.commands.launch --config_file OUT/.run/launch.yaml -m trainers.engine.launching.worker OUT
"""

import codecs
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from schemas.settings import RECIPES, InputError
from schemas.train_settings import Profile
from trainers.engine.launching.failures import disk_full, out_of_memory, told_failure
from trainers.engine.launching.stopping import STOPPED, forget_requests, listening
from trainers.engine.launching.worker import TALK, first_process, held_lifeline, trained
from trainers.engine.run import Batches, Outcome, Run, Spread

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

ROOT = Path(__file__).resolve().parents[3]
AT_ONCE = Outcome(
    code=STOPPED, message="stopped at once; the same command with --resume goes on from the last checkpoint"
)
LONGEST_PREPARATION = timedelta(days=2)


class Gpus(NamedTuple):
    """The GPUs of this machine that torch may use."""

    number: int = 0
    bf16: bool = False
    name: str = ""


def gpus_here() -> Gpus:
    """What torch finds; number 0 where it finds none."""
    import torch

    if not torch.cuda.is_available():
        return Gpus()
    return Gpus(
        torch.cuda.device_count(), torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name()
    )


def choose_spread(
    profile: Profile,
    processes: int | None,
    precision: Literal["auto", "bf16", "fp32"],
    *,
    fits: Callable[[Spread], bool],
) -> Spread:
    """Profile, processes and precision for the machine at hand; of the simplest profiles the first that `fits`.

    Inside a launcher of the user's own, that launcher has decided. Raises InputError on what cannot be.
    """
    gpus = gpus_here()
    if inside_launcher():
        profile, processes = _as_launched(profile, processes)
    elif gpus.number and (processes or 1) > gpus.number:
        raise InputError(f"--processes {processes}: one a GPU, and this machine has {gpus.number}")
    if profile == "single" and (processes or 1) > 1:
        raise InputError(f"--profile single is one process, got --processes {processes}")
    many = 1 if profile == "single" else processes or gpus.number or 1
    device: Literal["cpu", "cuda"] = "cuda" if gpus.number else "cpu"
    bf16 = _bf16(precision, gpus)
    if profile != "auto":
        return Spread(profile=profile, processes=many, device=device, bf16=bf16)
    if many == 1:
        return Spread(profile="single", device=device, bf16=bf16)
    names: tuple[Literal["ddp", "zero2", "zero3"], ...] = ("ddp", "zero2", "zero3") if gpus.number else ("ddp",)
    candidates = [Spread(profile=name, processes=many, device=device, bf16=bf16) for name in names]
    return next((spread for spread in candidates if fits(spread)), candidates[-1])


def _bf16(precision: Literal["auto", "bf16", "fp32"], gpus: Gpus) -> bool:
    if not gpus.number or gpus.bf16 or precision == "fp32":
        return precision == "bf16" or (precision == "auto" and gpus.bf16)
    if precision == "bf16":
        raise InputError(f"--precision bf16: {gpus.name} cannot compute in it; fp32 can")
    print(f"precision: fp32, since {gpus.name} cannot compute in bf16", file=sys.stderr)
    return False


def _as_launched(profile: Profile, processes: int | None) -> tuple[Profile, int]:
    """What the user's own launcher decided; flags that say otherwise are bad input."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise InputError("--profile: the launcher that started this process says FSDP; expected DDP or DeepSpeed ZeRO")
    many = int(os.environ["WORLD_SIZE"])
    given: Profile = _zero_profile() or ("ddp" if many > 1 else "single")
    if profile not in ("auto", given):
        raise InputError(f"--profile {profile}: the launcher that started this process says {given}")
    if processes not in (None, many):
        raise InputError(f"--processes {processes}: the launcher that started this process says {many}")
    return given, many


def _zero_profile() -> Literal["zero2", "zero3"] | None:
    """The ZeRO stage that `accelerate launch` hands its processes; stage 1 is held for stage 2, which needs less.

    Raises InputError for a stage 3 that leaves every process with its part of the weights, and nobody with a model.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") != "true":
        return None
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    gathers = os.environ.get("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL", "false")
    if file := os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        zero = json.loads(Path(file).read_text(encoding="utf-8"))["zero_optimization"]
        stage, asked = str(zero["stage"]), zero.get("stage3_gather_16bit_weights_on_model_save", False)
        gathers = gathers if asked == "auto" else str(asked)
    if stage != "3":
        return "zero2"
    if gathers.lower() != "true":
        raise InputError("--profile zero3: the launcher has nobody gather weights; set zero3_save_16bit_model to true")
    return "zero3"


def batch_maths(
    *, sequences: int, batch: int, micro: int, processes: int, epochs: float, max_steps: int | None
) -> Batches:
    """Accumulation, and optimizer steps as transformers' Trainer counts them.

    Each process takes every n-th micro batch of an epoch, and all get as many as the first: the last rounds are
    filled up with rows from the start. What is left of an epoch behind the last whole accumulation is a step too.
    """
    share = max(1, batch // processes)
    if micro > share:
        print(f"--micro-batch {micro} is more than a process's part of --batch {batch}: {share}", file=sys.stderr)
        micro = share
    accumulate, rest = divmod(batch, micro * processes)
    if rest or not accumulate:
        raise InputError(_no_such_batch(batch, micro, processes))
    rounds = math.ceil(math.ceil(sequences / micro) / processes)
    epoch = max(1, math.ceil(rounds / accumulate))
    steps = max_steps or math.ceil(epochs * epoch)
    seen = max_steps / epoch if max_steps else epochs
    return Batches(micro=micro, accumulate=accumulate, processes=processes, steps=steps, epochs=seen)


def _no_such_batch(batch: int, micro: int, processes: int) -> str:
    nearest = max(1, round(batch / (micro * processes))) * micro * processes
    many = f" x {processes} processes" if processes > 1 else ""
    return f"--batch {batch}: not a multiple of --micro-batch {micro}{many}; the nearest that is: {nearest}"


def inside_launcher() -> bool:
    """Whether the user started this command through torchrun, accelerate or the like: it is one process of many already."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def first_process_prepares(prepare: Callable[[], Run | Outcome], out: Path) -> Run | Outcome:
    """Prepare in the first process while all others wait, for days if need be; then every one has the run.

    When the first one fails, it alone says why: the others leave with exit code 0, so that no launcher takes one of
    them for the culprit. An Outcome instead of a Run (nothing to train) goes to the others without its words.
    """
    store = _meeting_place()
    if first_process():
        answer = "failed"
        try:
            ready = prepare()
            answer = str(ready.code) if isinstance(ready, Outcome) else "run"
            if isinstance(ready, Run):
                forget_requests(ready)
        finally:
            store.set("suwen/prepared", answer)
        return ready
    store.wait(["suwen/prepared"], LONGEST_PREPARATION)
    answer = store.get("suwen/prepared").decode()
    if answer == "failed":
        raise SystemExit(0)
    if answer != "run":
        return Outcome(code=int(answer))
    try:
        return Run.load(out)
    except FileNotFoundError:
        raise InputError(
            f"--out {out}: all machines must see this folder, and {os.uname().nodename} does not"
        ) from None


@cache
def _meeting_place() -> "Store":
    """The key-value store of the launcher; kept, for without a launcher's own it lives in the first process."""
    from torch.distributed.rendezvous import rendezvous

    try:
        store: Store = next(rendezvous("env://", timeout=timedelta(minutes=30)))[0]
    except ValueError as wrong:
        raise InputError(f"RANK and WORLD_SIZE are set as by a launcher, but: {wrong}") from None
    return store


def launch(run: Run) -> Outcome:
    """Train, in as many processes as the run is spread over, and say how it ended; bad input may raise InputError.

    Inside a launcher of the user's own, this process is one of many: only the first has words and figures to say.
    """
    if inside_launcher():
        outcome = _here(run)
        return outcome if first_process() else Outcome(code=outcome.code)
    forget_requests(run)
    return _here(run) if run.spread.profile == "single" else _in_children(run)


def _here(run: Run) -> Outcome:
    try:
        with listening(run):
            return trained(run)
    except KeyboardInterrupt:
        return AT_ONCE
    except (MemoryError, RuntimeError, OSError) as wrong:
        if told := out_of_memory(repr(wrong), run) or disk_full(run):
            return Outcome(code=STOPPED, message=told)
        raise


def _in_children(run: Run) -> Outcome:
    log, talk, recorded = (run.folder / name for name in ("worker.log", TALK, "outcome.json"))
    recorded.unlink(missing_ok=True)
    talk.write_bytes(b"")
    with held_lifeline() as lifeline, log.open("wb") as file:
        command = [sys.executable, *_launcher(run), "trainers.engine.launching.worker", str(run.out), str(lifeline)]
        child = subprocess.Popen(  # noqa: S603
            command, env=_environment(run), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        try:
            with listening(run):
                _pass_on(talk, child)
        except KeyboardInterrupt:
            return AT_ONCE
        finally:
            if child.poll() is None:  # the workers have sessions of their own, and die with the lifeline
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if recorded.exists():
        return Outcome.model_validate_json(recorded.read_text(encoding="utf-8"))
    return told_failure(log, run, child.returncode)


def _launcher(run: Run) -> list[str]:
    """Arguments of python that start the processes; what follows is the module they run."""
    if run.spread.profile == "ddp":
        # not accelerate: its MULTI_CPU starts one process however many it is told
        processes = str(run.spread.processes)
        return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, "--module"]
    return ["-m", "accelerate.commands.launch", "--config_file", str(_write_config(run)), "--module"]


def _write_config(run: Run) -> Path:
    """launch.yaml: the shipped recipe, told how many processes there are here, on what, and in which precision."""
    import yaml

    shipped = yaml.safe_load((RECIPES / f"{run.spread.profile}.yaml").read_text(encoding="utf-8"))
    on_cpu = run.spread.device == "cpu"
    here = {
        "num_processes": run.spread.processes,
        "use_cpu": on_cpu,
        "mixed_precision": "bf16" if run.spread.bf16 and not on_cpu else "no",
    }
    path = run.folder / "launch.yaml"
    path.write_text(yaml.safe_dump({**shipped, **here}), encoding="utf-8")
    return path


def _environment(run: Run) -> dict[str, str]:
    threads = max(1, len(os.sched_getaffinity(0)) // run.spread.processes)
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONSAFEPATH": "1",  # a schemas/ in the user's own folder is not ours
    }


def _pass_on(talk: Path, child: "subprocess.Popen[bytes]") -> None:
    """Print what the first worker says, until the processes have ended."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    running = True
    with talk.open("rb") as spoken:
        while running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.2)
                running = False
            sys.stderr.write(decoder.decode(spoken.read()))
            sys.stderr.flush()
