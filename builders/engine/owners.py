"""Which runs are using a ledger right now: each holds a lock that the kernel drops when its process dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from builders.engine.errors import LedgerError

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "9p", "afs", "ceph", "fuse"}


class Owners:
    """The runs of one ledger, as lock files in a folder beside it.

    On a network file system SQLite's shared-memory index does not work, so there is one run at a time: `many` is False.
    """

    def __init__(self, ledger: Path, me: str) -> None:
        self.many = not on_network(ledger)
        self._ledger = ledger
        self._owner = me
        self._me = me if self.many else "exclusive"
        self._lock: IO[bytes] | None = None

    def enter(self) -> None:
        """Take this run's lock; raises LedgerError when only one run may be here and another one is."""
        lock = self._path(self._me).open("wb")
        if not _locked(lock):
            raise LedgerError(f"ledger {self._ledger}: on a network file system, and another run is using it")
        self._lock = lock

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold off other runs that are opening the ledger: switching SQLite to WAL does not wait for them by itself."""
        with self._path("opening").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def leave(self) -> None:
        """Drop it."""
        if self._lock is not None:
            self._lock.close()
            self.bury(self._me)

    def alive(self, owner: str) -> bool:
        """Whether the run of this name still holds its lock."""
        if owner == self._owner:
            return True
        if not self.many:  # nobody else can be here
            return False
        try:
            with self._path(owner).open("rb") as lock:
                return not _locked(lock)
        except FileNotFoundError:
            return False

    def bury(self, owner: str) -> None:
        """Remove the lock file of a run that is over."""
        self._path(owner).unlink(missing_ok=True)

    def _path(self, owner: str) -> Path:
        folder = self._ledger.with_name(self._ledger.name + ".runs")
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder / owner


def on_network(path: Path) -> bool:
    """Whether a file would lie on a network file system, by the longest mount point above it (Linux only)."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, point, file_system, *_ = line.split()
        if path.absolute().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, file_system
    return kind.split(".")[0] in NETWORK_FILE_SYSTEMS


def private(path: Path) -> None:
    """Create a file readable by its owner alone: answers may hold medical text."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _locked(file: IO[bytes]) -> bool:
    """Take an exclusive lock without waiting; False when somebody else holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
