"""The tools that are compared: ours, and peers in environments of their own driven as their own users would.

A tool is a command from a Parquet file with `id` and `text` to the ids of what is kept. The drivers of the peers are the
other files of this folder; see `dedup.py` and `dedup_truth.py` for what is done with them.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from dedup_peers.watched import Ran, watched
from numpy.typing import NDArray
from peers import Peer, environment, installed

DRIVERS = Path(__file__).resolve().parent
ROOT = DRIVERS.parents[2]
MINUTES_TO_RUN = 60

PEERS = {
    "datasketch": Peer("datasketch", "2.0.0", beside=("pyarrow==26.0.1", "xxhash==4.1.0")),
    "rensa": Peer("rensa", "0.5.0", beside=("pyarrow==26.0.1",)),
    "fastsketchlsh": Peer("fastsketchlsh", "1.0.1", beside=("pyarrow==26.0.1",)),
    "text_dedup": Peer("text-dedup", "0.4.0"),
    # Its extra [processing] has what the import of its deduplication needs, and ten times as much that it does not.
    "datatrove": Peer(
        "datatrove", "0.10.1", "[io]", ("pyarrow==26.0.1", "regex==2026.11.19", "tokenizers==0.23.3", "xxhash==3.8.2")
    ),
}
SETTINGS = ("--text", "text", "--id", "id", "--ngram", 5, "--threshold", 0.8, "--permutations", 128)
FOLD = "nfkc,case,width,punctuation"  # as the texts of the peers are; the default makes traditional characters simplified too
OURS = {
    "suwen": (),
    "suwen-compiled": ("--kernel", "compiled"),
    "suwen-numpy": ("--kernel", "numpy"),
    "suwen-dry-run": ("--dry-run",),
    "suwen-leader": ("--mode", "leader"),
    "suwen-cluster": ("--mode", "cluster"),
}
THEIRS = {
    "datasketch": ("datasketch", "16x8"),
    "datasketch-auto": ("datasketch", "auto"),
    "rensa": ("rensa",),
    "fastsketchlsh": ("fastsketchlsh",),
    "text-dedup": ("text_dedup",),
    "datatrove": ("datatrove",),
}
TOOLS = (*OURS, *THEIRS)


class Tool(NamedTuple):
    """One way to deduplicate a file."""

    name: str
    home: Path
    """Where the environments of peers are kept."""

    @property
    def ours(self) -> bool:
        """It folds for itself and takes the texts as they are."""
        return self.name in OURS

    def run(self, texts: Path, folder: Path) -> Ran:
        """From the file to kept ids in an empty folder; raises Failed. A peer is installed first if need be."""
        if self.ours:
            return watched(self._our_command(texts, folder), cwd=ROOT, env=os.environ, minutes=MINUTES_TO_RUN)
        command = self._their_command(texts, folder)
        return watched(command, cwd=folder, env=environment(folder), minutes=MINUTES_TO_RUN)

    def _our_command(self, texts: Path, folder: Path) -> Sequence[object]:
        command = [sys.executable, "-m", "builders.dedup", texts.resolve(), *SETTINGS, "--fold", FOLD]
        return [*command, "--out", folder.resolve() / "out", *OURS[self.name]]

    def _their_command(self, texts: Path, folder: Path) -> Sequence[object]:
        driver, *settings = THEIRS[self.name]
        peer = PEERS[driver]
        # Not the name that peers.py gives: it keeps other environments of some of these packages.
        python = installed(self.home.resolve() / f"dedup-{peer.package}-{peer.version}", peer)
        # -P: a driver is named like the package that it imports, and must not find itself.
        return [python, "-P", DRIVERS / f"{driver}.py", texts.resolve(), folder / "kept.parquet", *settings]

    def kept_ids(self, folder: Path) -> NDArray[np.int64]:
        """What the run in this folder kept."""
        path = folder / "out" / "kept.parquet" if self.ours else folder / "kept.parquet"
        return pq.read_table(path, columns=["id"])["id"].to_numpy().astype(np.int64)

    def removed(self, folder: Path) -> Path:
        """What ours removed, with twin and similarity."""
        return folder / "out" / "removed.parquet"

    def kept(self, ran: Ran, folder: Path) -> int:
        """How many; a dry run of ours only says it."""
        if self.ours:
            return int(json.loads(ran.said.strip().splitlines()[-1])["kept"])
        return pq.ParquetFile(folder / "kept.parquet").metadata.num_rows


def tool(name: str, home: Path) -> Tool:
    """By its name; exits with a message when there is none."""
    if name not in TOOLS:
        raise SystemExit(f"--tools: no tool is named {name!r}; known: {', '.join(TOOLS)}")
    return Tool(name, home)
