"""The memory of paid calls: an answer that arrived is never bought again, whatever happens to the run.

SQLite in one file. Every attempt to buy is durable before it is sent, every answer before it is parsed:

    sent ──► answered | refused          under the call's key, for ever
      └────► failed                      the server said no, nothing was bought
      └────► in doubt                    cut off, timed out or killed: perhaps paid, held against the budget
    batched                              in a batch at the endpoint, whoever asked for it lives or not (batch_book.py)

Workers hand their statements to one writer thread, which commits what has queued as one transaction (`synchronous=
FULL`) and wakes them: group commit. A run claims a call before sending it; another run on the same ledger waits for
that answer instead of buying it twice. A run is alive while it holds its lock file, so a killed run's claims are free.
"""

import asyncio
import contextlib
import hashlib
import queue
import sqlite3
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from builders.engine.errors import LedgerError
from builders.engine.ledger_file import connect, explained, prepare
from builders.engine.owners import Owners, private

T = TypeVar("T")
_Queued = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]
"""A statement, and who waits for it; a ledger's waiters are all on one event loop."""

WHO_HAS = """
SELECT '', 'answered' FROM answers WHERE key = ?
UNION SELECT owner, state FROM attempts WHERE key = ? AND state IN ('sent', 'batched')
"""
"""Owner and state of whatever keeps a key from being bought."""
GATHER_SECONDS_EACH = 0.0004
MOST_GATHER_SECONDS = 0.005
"""How long the writer lets statements queue before it commits, by how many came last time: nobody waits long for few,
and many share an fsync."""


class Answer(NamedTuple):
    """What a call brought back: the raw body, and what it cost. `usd` is None when the price is unknown."""

    body: bytes
    refused: bool
    rehearsal: bool
    tokens_in: int
    tokens_out: int
    usd: float | None
    at: float


class Spent(NamedTuple):
    """What an account has used: settled calls, and at their worst case attempts in doubt or in flight in other runs."""

    tokens: int
    usd: float
    doubtful_calls: int
    doubtful_tokens: int
    doubtful_usd: float


class Used(NamedTuple):
    """The answers that went into a build; `usd` is None when the price of any is unknown."""

    calls: int
    tokens_in: int
    tokens_out: int
    usd: float | None
    last_at: float
    """Unix time of the latest answer."""
    digest: str
    """SHA-256 over keys and answers."""


class Claim(NamedTuple):
    """The right to send one attempt."""

    attempt: int


class Ledger:
    """The answers of one file, shared by all runs that name it. Use as a context manager.

    Raises LedgerError when the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, account: str) -> None:
        self.path = path
        self._file = path.resolve()  # one ledger has one lock folder, whatever links lead to it
        self.account = account
        """Whose spending this run adds to: the folder it builds."""
        self.owner = uuid.uuid4().hex
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._owners = Owners(self._file, self.owner)

    def __enter__(self) -> "Ledger":
        if self.path.is_dir():
            raise LedgerError(f"ledger {self.path}: is a folder")
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            private(self._file)
            self._owners.enter()
            with self._owners.one_at_a_time():
                self._reader, self._writing = (connect(self._file, many=self._owners.many) for _ in range(2))
                prepare(self._reader, self.path)
                self._free_the_dead()
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._writer.join()
        self._reader.close()
        self._owners.leave()

    def find(self, key: str) -> Answer | None:
        """The answer under a key, if it was ever bought."""
        with explained(self.path):
            row = self._reader.execute(
                "SELECT body, refused, rehearsal, tokens_in, tokens_out, usd, at FROM answers WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        body, refused, rehearsal, *costs = row
        return Answer(zlib.decompress(body), bool(refused), bool(rehearsal), *costs)

    def has(self, key: str, *, up_to: int) -> bool:
        """Whether an answer was bought under a key, as one of the first `up_to` of this ledger."""
        sql = "SELECT 1 FROM answers WHERE key = ? AND number <= ?"
        with explained(self.path):
            return self._reader.execute(sql, (key, up_to)).fetchone() is not None

    async def claim(self, key: str, *, tokens: int, usd: float | None) -> Claim | None:
        """Durable right to buy `key` at a worst case of `tokens` and `usd`; None when it is bought or being bought."""

        def take(db: sqlite3.Connection) -> Claim | None:
            if not self.is_free(db, key):
                return None
            values = (key, self.account, self.owner, tokens, usd)
            sql = "INSERT INTO attempts (key, account, owner, state, tokens, usd) VALUES (?, ?, ?, 'sent', ?, ?)"
            return Claim(db.execute(sql, values).lastrowid or 0)

        return await self.write(take)

    def is_free(self, db: sqlite3.Connection, key: str) -> bool:
        """Whether nobody has bought `key` or is buying it; for statements of the writer."""
        for owner, state in db.execute(WHO_HAS, (key, key)).fetchall():
            if state != "sent" or self._owners.alive(owner):
                return False
            _doubt(db, owner)
        return True

    def is_alive(self, owner: str) -> bool:
        """Whether the run of this name is still going on."""
        return self._owners.alive(owner)

    def has_open_batches(self, speaker: str) -> bool:
        """Whether batches that other runs handed in for a served model are not fetched."""
        sql = "SELECT 1 FROM batches WHERE speaker = ? AND state != 'done' AND owner != ?"
        with explained(self.path):
            return self._reader.execute(sql, (speaker, self.owner)).fetchone() is not None

    async def settle(self, claim: Claim, key: str, answer: Answer) -> None:
        """Make an answer durable and its cost final; returns once it is on disk."""

        def put(db: sqlite3.Connection) -> None:
            body = zlib.compress(answer.body, 1)
            db.execute(
                "INSERT OR IGNORE INTO answers VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    answer.refused,
                    body,
                    answer.rehearsal,
                    answer.tokens_in,
                    answer.tokens_out,
                    answer.usd,
                    answer.at,
                ),
            )
            state = "refused" if answer.refused else "answered"
            used = (state, answer.tokens_in + answer.tokens_out, answer.usd, claim.attempt)
            db.execute("UPDATE attempts SET state = ?, tokens = ?, usd = ? WHERE id = ?", used)

        await self.write(put)

    async def fail(self, claim: Claim, outcome: Literal["failed", "doubt"]) -> None:
        """Record an attempt that brought nothing: `failed` cost nothing, `doubt` may have been paid for."""

        def put(db: sqlite3.Connection) -> None:
            db.execute("UPDATE attempts SET state = ? WHERE id = ?", (outcome, claim.attempt))

        await self.write(put)

    def watermark(self, build: str) -> int:
        """How many answers the ledger held when it first heard of a build, by the digest of its settings.

        These are what others paid for; the build's own answers come after them. It never changes, so a build that is
        resumed or repeated makes the same choices.
        """
        with explained(self.path):
            number = "SELECT ?, COALESCE(MAX(number), 0) FROM answers"
            self._reader.execute(f"INSERT OR IGNORE INTO builds {number}", (build,))
            return int(self._reader.execute("SELECT watermark FROM builds WHERE digest = ?", (build,)).fetchone()[0])

    def spent(self) -> Spent:
        """What this account has used over all its runs; what other live runs have in flight counts as doubtful."""
        sql = "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(usd), 0.0), COUNT(*) FROM attempts WHERE account = ? AND "
        with explained(self.path):
            settled = self._reader.execute(sql + "state IN ('answered', 'refused')", (self.account,)).fetchone()
            doubtful = self._reader.execute(sql + "state = 'doubt'", (self.account,)).fetchone()
            elsewhere = self._reader.execute(
                sql + "state IN ('sent', 'batched') AND owner != ?", (self.account, self.owner)
            ).fetchone()
        tokens, usd = doubtful[0] + elsewhere[0], doubtful[1] + elsewhere[1]
        return Spent(settled[0], settled[1], doubtful[2], tokens, usd)

    def used(self, keys: Iterable[str]) -> "Used":
        """What a build was made from: the answers under these keys, each once."""
        whole = hashlib.sha256()
        used = Used(0, 0, 0, 0.0, 0.0, "")
        for key in sorted(set(keys)):
            answer = self.find(key)
            if answer is None:
                continue
            whole.update(key.encode() + hashlib.sha256(answer.body).digest())
            usd = None if used.usd is None or answer.usd is None else used.usd + answer.usd
            tokens_in, tokens_out = used.tokens_in + answer.tokens_in, used.tokens_out + answer.tokens_out
            used = Used(used.calls + 1, tokens_in, tokens_out, usd, max(used.last_at, answer.at), "")
        return used._replace(digest=whole.hexdigest())

    async def write(self, statement: Callable[[sqlite3.Connection], T]) -> T:
        """Have a statement executed by the writer; returns once its transaction is on disk."""
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put((statement, waiting))
        return await waiting

    def _write(self) -> None:
        """The writer thread: everything that has queued becomes one transaction."""
        db = self._writing
        batch: list[_Queued] = []
        while (first := self._queue.get()) is not None:
            time.sleep(min(MOST_GATHER_SECONDS, GATHER_SECONDS_EACH * len(batch)))
            batch = [first]
            last = False
            while not self._queue.empty():
                queued = self._queue.get()
                if queued is None:
                    last = True
                    break
                batch.append(queued)
            self._commit(db, batch)
            if last:
                break
        db.close()

    def _commit(self, db: sqlite3.Connection, batch: "list[_Queued]") -> None:
        results: list[Any] = []
        error: Exception | None = None
        try:
            with explained(self.path):
                db.execute("BEGIN IMMEDIATE")
                results = [statement(db) for statement, _ in batch]
                db.execute("COMMIT")
        except Exception as wrong:  # whatever it is, somebody waits to hear of it
            error = wrong
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            batch[0][1].get_loop().call_soon_threadsafe(_wake, [waiting for _, waiting in batch], results, error)

    def _free_the_dead(self) -> None:
        """Attempts that a dead run had in flight may have been paid for: they become doubtful, and can be asked again."""
        owners = self._reader.execute("SELECT DISTINCT owner FROM attempts WHERE state = 'sent'").fetchall()
        for (owner,) in owners:
            if not self._owners.alive(owner):
                _doubt(self._reader, owner)
                self._owners.bury(owner)


def _doubt(db: sqlite3.Connection, owner: str) -> None:
    db.execute("UPDATE attempts SET state = 'doubt' WHERE owner = ? AND state = 'sent'", (owner,))


def _wake(waiting: "list[asyncio.Future[Any]]", results: list[Any], error: Exception | None) -> None:
    for position, future in enumerate(waiting):
        if future.done():
            continue
        if error is None:
            future.set_result(results[position])
        else:
            future.set_exception(error)
