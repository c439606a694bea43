"""Builds that tests disturb: the same rows whatever happens to them, and a server that counts what was bought."""

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from conftest import ROOT, Outcome, outcome
from folders import files_of, manifest_is_true

from builders.engine.rehearsal.server import Rehearsal

KINDS = ("single calls", "many turns", "batches")
AT_ONCE = 8


class Scene(NamedTuple):
    """One build against one server. `kind` is one of KINDS."""

    kind: str
    server: Rehearsal
    rows: int

    def command(self, *more: object, out: str = "set", ledger: str = ".suwen/ledger.sqlite") -> list[str]:
        """The whole command line."""
        where = ["--teacher", "rehearsal@rehearsal", "--base-url", self.server.url, "--ledger", ledger, "--out", out]
        if self.kind == "many turns":
            complaints = Path("complaints.jsonl")
            lines = (
                json.dumps({"complaint": f"第{number}天了，肚子还是疼。"}, ensure_ascii=False)
                for number in range(self.rows)
            )
            complaints.write_text("\n".join(lines))
            command = [str(ROOT / "tests" / "consult.py"), "--source", "complaints.jsonl"]
        else:
            command = [
                "-m",
                "builders.distill_instructions",
                "--departments",
                "心血管内科,儿科",
                "--roles",
                "患者,护士",
            ]
        way = ["--batch"] if self.kind == "batches" else ["--at-once", str(AT_ONCE)]
        return [sys.executable, *command, *where, *way, "--rows", str(self.rows), *map(str, more)]

    def start(
        self, *more: object, memory: int | None = None, env: dict[str, str] | None = None, **where: str
    ) -> "subprocess.Popen[str]":
        """The build in a process of its own, perhaps with so many bytes of address space."""

        def little_memory() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        return subprocess.Popen(
            self.command(*more, **where),
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=little_memory if memory else None,
        )

    def run(self, *more: object, **options: Any) -> Outcome:
        """The build from beginning to end."""
        child = self.start(*more, **options)
        out, talk = child.communicate(timeout=120)
        return outcome(child.returncode, talk, out)

    def data(self, out: str = "set") -> dict[str, bytes]:
        """The data files of a release."""
        return {name: data for name, data in files_of(Path(out)).items() if name.endswith(".parquet")}


def bought(ledger: str = ".suwen/ledger.sqlite") -> set[str]:
    """The requests whose answers are durable, by the id that the rehearsal gave each."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            bodies = db.execute("SELECT body FROM answers WHERE NOT refused").fetchall()
    except sqlite3.OperationalError:  # not there yet
        return set()
    return {json.loads(zlib.decompress(body))["id"].removeprefix("rehearsal-") for (body,) in bodies}


def receipts(server: Rehearsal, ledger: str = ".suwen/ledger.sqlite") -> dict[str, int]:
    """Requests whose answers are durable now -> how often the server has answered each by now.

    Once may be too few to ask for: a call that was in flight at an earlier kill was answered to nobody.
    """
    durable = bought(ledger)
    return {key: times for key, times in server.answered.items() if key[:16] in durable}


def bought_again(server: Rehearsal, durable: dict[str, int]) -> list[str]:
    """Which of these requests the server has answered since."""
    return [key for key, times in durable.items() if server.answered[key] > times]


def wait_until(true: Callable[[], bool], child: "subprocess.Popen[str]", seconds: float = 60) -> None:
    """Until it is true or the process has ended."""
    deadline = time.monotonic() + seconds
    while not true() and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.003)


def check_finished(scene: Scene, durable: dict[str, int], quiet: dict[str, bytes]) -> None:
    """What must hold after anything: exact rows, the same bytes as undisturbed, nothing durable bought twice."""
    assert scene.data() == quiet
    assert manifest_is_true(Path("set"))
    assert bought_again(scene.server, durable) == []
