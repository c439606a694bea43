"""How peers do at the same endpoint, each in a virtual environment of its own and driven as its own users would.

    python tests/benchmarks/endpoint.py --port 8123 &
    python tests/benchmarks/peers.py --url http://127.0.0.1:8123/v1 --rows 2000 --at-once 400 --only curator,datatrove

Prints one JSON line per peer. What counts is the peer's run, from questions in memory to rows in its own format, but not
its import and set-up. A peer that does not install or run here is a line that says why. The environments
stay under --home for the next time; nothing is written beside this file.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clients import prompts

CLIENTS = Path(__file__).resolve().parent / "peers"
MINUTES_TO_INSTALL = 15
MINUTES_TO_RUN = 10


class Failed(Exception):
    """A peer did not install or run; the message is one line."""


class Peer(NamedTuple):
    """What to install for a peer, the package that is measured first."""

    package: str
    version: str
    extras: str = ""
    beside: tuple[str, ...] = ()
    """What its own requirements leave out, or leave too open to work today."""

    @property
    def requirements(self) -> list[str]:
        """As pip takes them."""
        return [f"{self.package}{self.extras}=={self.version}", *self.beside]


PEERS = {
    "curator": Peer("bespokelabs-curator", "0.1.31"),
    # The extra [inference] wants vLLM and a GPU; these are the parts of it that an endpoint needs.
    "datatrove": Peer("datatrove", "0.10.1", "[io]", ("aiofiles", "aiosqlite", "httpx", "numpy<2.3", "pandas")),
    "data_designer": Peer("data-designer", "0.9.7"),
    "distilabel": Peer("distilabel", "1.5.3", "[openai]", ("requests", "huggingface_hub<1", "datasets<4", "openai<2")),
}


def measured(name: str, home: Path, url: str, rows: int, at_once: int) -> dict[str, Any]:
    """Install a peer if need be, run its client, and describe it."""
    peer = PEERS[name]
    try:
        python = installed(home / f"{name}-{peer.version}", peer)
        seconds = run(name, python, url, rows, at_once)
    except Failed as wrong:
        return {"peer": name, "version": peer.version, "failed": str(wrong)}
    figures = {"rows": rows, "at_once": at_once, "seconds": round(seconds, 2)}
    return {"peer": name, "version": peer.version, **figures, "requests_per_second": round(rows / seconds, 1)}


def installed(folder: Path, peer: Peer) -> Path:
    """The Python of the peer's environment, made when it is not there whole."""
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"installing {' '.join(peer.requirements)} in {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", *peer.requirements]
        finished(pip, minutes=MINUTES_TO_INSTALL)
        whole.touch()
    return python


def run(name: str, python: Path, url: str, rows: int, at_once: int) -> float:
    """Seconds that the peer needed; raises Failed when it gave fewer rows."""
    with tempfile.TemporaryDirectory() as scratch:
        questions, folder = Path(scratch, "questions.jsonl"), Path(scratch, "peer")
        folder.mkdir()
        questions.write_text("".join(json.dumps({"question": text}) + "\n" for text in prompts(rows)))
        # -P: a client is named like the package that it imports, and must not find itself.
        command = [python, "-P", CLIENTS / f"{name}.py", url, questions, at_once, folder]
        said = finished(command, minutes=MINUTES_TO_RUN, cwd=folder)
    answer = json.loads((said.strip().splitlines() or ["null"])[-1])
    if answer["rows"] != rows:
        raise Failed(f"gave {answer['rows']} of {rows} rows")
    return float(answer["seconds"])


def finished(command: Sequence[object], *, minutes: int, cwd: Path | None = None) -> str:
    """What a process prints; raises Failed when it fails or is not done in time."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = [str(word) for word in command]
    with subprocess.Popen(words, cwd=cwd, env=environment(cwd), start_new_session=True, **pipes) as child:
        try:
            out, talk = child.communicate(timeout=minutes * 60)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {minutes} minutes") from None
        finally:
            with contextlib.suppress(ProcessLookupError):  # none of its workers is left
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise Failed(reason(out + talk) or f"exit code {child.returncode}")
    return out


def reason(talk: str) -> str:
    """The last line of a process's talk that speaks of an error, else its last line; pip ends on a hint."""
    lines = [line.strip(" │") for line in talk.splitlines() if line.strip(" │╭╰─╮╯")]
    return ([line for line in lines if "error" in line.lower()] or lines or [""])[-1][:300]


def environment(home: Path | None) -> dict[str, str]:
    """For a client, whose home is given: no key, telemetry, download or proxy, and caches in its scratch folder."""
    if home is None:
        return dict(os.environ)
    private = ("_KEY", "_TOKEN", "_PROXY", "_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.endswith(private)}
    silent = {"TELEMETRY_ENABLED": "false", "NEMO_TELEMETRY_ENABLED": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    offline = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*", "OPENAI_API_KEY": "none"}
    return {**kept, **silent, **offline, "HOME": str(home), "PYTHONSAFEPATH": "1"}


def main() -> None:
    """Measure the peers asked for, one after the other."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--url", required=True)
    flags.add_argument("--rows", type=int, default=2000)
    flags.add_argument("--at-once", type=int, default=400)
    flags.add_argument("--only", default=",".join(PEERS), help="comma-separated, of: %(default)s")
    flags.add_argument("--home", type=Path, default=Path.home() / ".cache" / "suwen-bench", help="keeps environments")
    asked = flags.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the peer too, which leads a session of its own
    names = asked.only.split(",")
    if unknown := set(names) - set(PEERS):
        flags.error(f"--only: no peer is named {sorted(unknown)[0]!r}; known: {', '.join(PEERS)}")
    for name in names:
        found = measured(name, asked.home.resolve(), asked.url, asked.rows, asked.at_once)
        print(json.dumps(found, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
