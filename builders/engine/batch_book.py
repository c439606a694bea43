"""The ledger's pages on batches: what was handed in, under which name, and who is waiting for it.

    planned ──► creating ──► submitted ──► done    a batch; its UUID is durable before anything is sent
    batched ──► answered | refused | failed | doubt    its calls, each as it comes in

A batch outlives the run that planned it: the next run on the same ledger takes it over and fetches what was paid for.
"""

import sqlite3
import time
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from builders.engine.budget import Cost
from builders.engine.ledger import Claim, Ledger


class OpenCall(NamedTuple):
    """A call in a batch that has not come in."""

    key: str
    claim: Claim
    worst: Cost
    ours: bool
    """Whether it is on this build's account."""


class OpenBatch(NamedTuple):
    """A batch that somebody has to fetch."""

    uuid: str
    remote: str | None
    """Its id at the endpoint; None when it is not known to have been submitted."""
    at: float
    """Unix time it was planned."""
    maybe: bool
    """Whether its creation was begun."""
    calls: tuple[OpenCall, ...]


class BatchBook:
    """Batches of one served model, in the ledger that all runs share."""

    def __init__(self, ledger: Ledger, speaker: str) -> None:
        self._ledger = ledger
        self._speaker = speaker

    async def plan(self, wanted: Sequence[tuple[str, Cost]]) -> OpenBatch | None:
        """Name a batch and claim its calls, before anything is sent. Calls that somebody has bought or is buying are left out."""

        def put(db: sqlite3.Connection) -> OpenBatch | None:
            free = [(key, worst) for key, worst in wanted if self._ledger.is_free(db, key)]
            if not free:
                return None
            name, now = uuid.uuid4().hex, time.time()
            db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, NULL, 'planned', ?)",
                (name, self._speaker, self._ledger.owner, now),
            )
            sql = "INSERT INTO attempts (key, account, owner, state, tokens, usd, batch) VALUES (?, ?, ?, 'batched', ?, ?, ?)"
            calls = []
            for key, worst in free:
                values = (key, self._ledger.account, self._ledger.owner, worst.tokens, worst.usd, name)
                calls.append(OpenCall(key, Claim(db.execute(sql, values).lastrowid or 0), worst, True))
            return OpenBatch(name, None, now, False, tuple(calls))

        return await self._ledger.write(put)

    async def creating(self, batch: OpenBatch) -> None:
        """From now on it may exist at the endpoint, whatever is heard of it."""

        def put(db: sqlite3.Connection) -> None:
            db.execute("UPDATE batches SET state = 'creating' WHERE uuid = ?", (batch.uuid,))

        await self._ledger.write(put)

    async def submitted(self, batch: OpenBatch, remote: str) -> None:
        """Note the id that the endpoint gave it."""

        def put(db: sqlite3.Connection) -> None:
            db.execute("UPDATE batches SET state = 'submitted', remote = ? WHERE uuid = ?", (remote, batch.uuid))

        await self._ledger.write(put)

    async def take_over(self) -> list[OpenBatch]:
        """Batches whose runs are dead; they are this run's from now on."""

        def take(db: sqlite3.Connection) -> list[OpenBatch]:
            sql = "SELECT uuid, remote, at, state, owner FROM batches WHERE speaker = ? AND state != 'done' AND owner != ?"
            found = db.execute(sql, (self._speaker, self._ledger.owner)).fetchall()
            taken = []
            for name, remote, at, state, owner in found:
                if self._ledger.is_alive(owner):
                    continue
                db.execute("UPDATE batches SET owner = ? WHERE uuid = ?", (self._ledger.owner, name))
                taken.append(OpenBatch(name, remote, at, state != "planned", self._calls(db, name)))
            return taken

        return await self._ledger.write(take) if self._ledger.has_open_batches(self._speaker) else []

    def _calls(self, db: sqlite3.Connection, name: str) -> tuple[OpenCall, ...]:
        sql = "SELECT id, key, tokens, usd, account FROM attempts WHERE batch = ? AND state = 'batched'"
        return tuple(
            OpenCall(key, Claim(id), Cost(tokens, usd or 0.0), account == self._ledger.account)
            for id, key, tokens, usd, account in db.execute(sql, (name,))
        )

    async def close(self, batch: OpenBatch, *, doubtful: bool = False) -> None:
        """The batch is over; calls that have not come in cost nothing, or are in doubt."""

        def put(db: sqlite3.Connection) -> None:
            state = "doubt" if doubtful else "failed"
            db.execute("UPDATE attempts SET state = ? WHERE batch = ? AND state = 'batched'", (state, batch.uuid))
            db.execute("UPDATE batches SET state = 'done' WHERE uuid = ?", (batch.uuid,))

        await self._ledger.write(put)
