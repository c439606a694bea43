"""The ledger's file: its tables, how it is opened and checked, and SQLite's errors in words."""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

from builders.engine.errors import LedgerError

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE NOT NULL, refused INTEGER NOT NULL, body BLOB NOT NULL, rehearsal INTEGER NOT NULL,
  tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, usd REAL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, account TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
  tokens INTEGER NOT NULL, usd REAL, batch TEXT);
DROP INDEX IF EXISTS attempts_by_key;
DROP INDEX IF EXISTS attempts_by_account;
CREATE INDEX IF NOT EXISTS attempts_of_a_key ON attempts (key);
CREATE TABLE IF NOT EXISTS builds (digest TEXT PRIMARY KEY, watermark INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
  uuid TEXT PRIMARY KEY, speaker TEXT NOT NULL, owner TEXT NOT NULL, remote TEXT, state TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_batch ON attempts (batch) WHERE batch IS NOT NULL;
PRAGMA user_version = 2;
"""
VERSION = 2
CHECKED_BYTES = 64_000_000
"""A ledger up to this size is checked when it is opened: 0.2 s. A larger one shows its damage where it is read."""


def connect(file: Path, *, many: bool) -> sqlite3.Connection:
    """A connection that is durable after every commit; `many` runs may share the file."""
    db = sqlite3.connect(file, isolation_level=None, timeout=60, check_same_thread=False)
    if many:
        db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Check a ledger and bring its tables up to date; raises LedgerError, with nothing overwritten, when it is damaged."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise LedgerError(f"ledger {path}: written by a newer version of this package")
    if version and path.stat().st_size <= CHECKED_BYTES:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise LedgerError(f"ledger {path}: damaged ({' '.join(found.split())}); nothing was changed in it")
    if version < VERSION:
        columns = {name for _, name, *_ in db.execute("PRAGMA table_info(attempts)")}
        upgrade = "ALTER TABLE attempts ADD COLUMN batch TEXT;" if columns and "batch" not in columns else ""
        db.executescript(f"BEGIN IMMEDIATE; {upgrade} {SCHEMA} COMMIT;")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's and the disk's errors, as one line that names the file."""
    try:
        yield
    except (sqlite3.Error, OSError, zlib.error) as wrong:
        raise LedgerError(f"ledger {path}: {wrong}") from wrong
