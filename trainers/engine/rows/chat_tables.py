"""Tables read as conversations, batch by batch; and cut in two where nobody has held rows out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from builders.engine.splits import CLUSTER_JACCARD, hashed
from builders.sources.raw_rows import AT_ONCE, rejected_of
from builders.sources.tables import Table
from trainers.engine.rows.chat_rows import UNREADABLE, Conversation, Layout, Unreadable, first_asked, messages_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
PROVENANCE = "provenance"
HELD_OUT = 20
"""One row in so many is held out: `hashed` gives validation 5 %."""


class Cut(NamedTuple):
    """Which rows of a table are held out, by near-duplicate cluster."""

    first: "NDArray[np.int64]"
    """(rows,): the first row of each row's cluster."""
    held_out: "NDArray[np.bool_]"
    """(rows,)"""


class Stated(NamedTuple):
    """What rows say of themselves in their provenance."""

    licenses: Counter[str]
    """Licence they state to be released under, "" where none is stated -> rows."""
    rehearsal: bool
    """Whether any of them has an answer of the rehearsal teacher."""


class Piece(NamedTuple):
    """Rows of one split: a table, or those of it on one side of a cut."""

    table: Table
    layout: Layout
    cut: Cut | None = None
    held_out: bool = False
    """Which side of the cut; what stands in the files and is no row is told on the other."""

    @property
    def size(self) -> int:
        """What `read` gives: rows, and what is none."""
        return self._rows + (0 if self.held_out else self.table.rejected_rows)

    def read(self, wanted: "NDArray[np.bool_] | None" = None) -> Iterator[Conversation | Unreadable]:
        """Every row in order, a batch of them in memory; what is no row follows them. Of all these the `wanted` (size,)."""
        for numbers, batch in self._batches((*self.layout.columns, PROVENANCE), wanted):
            found = _of_provenance(batch, "cluster")
            clusters = found.to_pylist() if found is not None else [""] * len(numbers)
            plain = batch.drop_columns([PROVENANCE]) if PROVENANCE in batch.schema.names else batch
            for number, row, cluster in zip(numbers, plain.to_pylist(), clusters, strict=True):
                yield self._conversation(number, row, cluster or "")
        if not self.held_out:
            for at, broken in enumerate(rejected_of(self.table), self._rows):
                if wanted is None or wanted[at]:
                    yield Unreadable(broken.place, f"{UNREADABLE}: {broken.reason}")

    def stated(self) -> Stated:
        """Licences and rehearsal, in one pass over nothing but the provenance."""
        licenses, rehearsal = Counter[str](), False
        for _, batch in self._batches([PROVENANCE]):
            if (found := _of_provenance(batch, "license")) is not None:
                licenses.update({str(one["values"] or ""): one["counts"] for one in found.value_counts().to_pylist()})
            if not rehearsal and (found := _of_provenance(batch, "rehearsal")) is not None:
                rehearsal = True in found.to_pylist()
        return Stated(licenses or Counter({"": self._rows}), rehearsal)

    @property
    def _rows(self) -> int:
        return self.table.rows if self.cut is None else int((self.cut.held_out == self.held_out).sum())

    def _batches(
        self, columns: Iterable[str], wanted: "NDArray[np.bool_] | None" = None
    ) -> Iterator[tuple[list[int], "pa.RecordBatch"]]:
        """(numbers, rows) of this piece; columns the table lacks are left out."""
        import numpy as np

        from builders.engine.dedup import arrow

        names = [name for name in dict.fromkeys(columns) if name in self.table.schema.names]
        first = place = 0
        for batch in self.table.batches(names, at_most=AT_ONCE):
            numbers = np.arange(first, first + batch.num_rows)
            if self.cut is not None:
                numbers = numbers[self.cut.held_out[numbers] == self.held_out]
            place, before = place + len(numbers), place
            if wanted is not None:
                numbers = numbers[wanted[before:place]]
            rows = batch if len(numbers) == batch.num_rows else batch.take(arrow.numbers(numbers - first))
            yield numbers.tolist(), rows
            first += batch.num_rows

    def _conversation(self, number: int, row: Mapping[str, Any], cluster: str) -> Conversation | Unreadable:
        place = self.table.place(number)
        try:
            messages = messages_of(row, self.layout)
        except ValueError as wrong:
            return Unreadable(place, f"{UNREADABLE}: {wrong}")
        if self.cut is not None:
            cluster = _origin(self.table.place(int(self.cut.first[number])))
        return Conversation(place, cluster, messages)


def cut(table: Table, layout: Layout, seed: int) -> dict[Split, Piece]:
    """Train and validation that share no near-duplicate cluster; 5 % of the rows are held out, or none of a tiny table.

    Rows are alike by the user's first words. The hash of `FILE:ROW` of a cluster's first row decides where it goes; a
    cluster larger than all that is to be held out is trained on.
    """
    import numpy as np

    first = _first_of_cluster(table, layout)
    heads, sizes = np.unique(first, return_counts=True)
    chosen = [
        size * HELD_OUT <= table.rows and hashed(f"{seed}/{_origin(table.place(head))}") == "validation"
        for head, size in zip(heads.tolist(), sizes.tolist(), strict=True)
    ]
    made = Cut(first, np.isin(first, heads[np.array(chosen, bool)]))
    pieces: dict[Split, Piece] = {"train": Piece(table, layout, made)}
    return pieces | ({"validation": Piece(table, layout, made, held_out=True)} if made.held_out.any() else {})


def _first_of_cluster(table: Table, layout: Layout) -> "NDArray[np.int64]":
    """(rows,): number of the first row of each row's cluster; only signatures and numbers are in memory."""
    import numpy as np

    from builders.engine.dedup import arrow
    from builders.engine.dedup.find import find
    from builders.engine.dedup.scheme import SHORT_NGRAM, Scheme
    from builders.engine.dedup.texts import OfTable

    columns = [name for name in layout.columns if name in table.schema.names]
    asked = OfTable(table, columns, lambda batch: arrow.texts([_asked(row, layout) for row in batch.to_pylist()]))
    found = find(asked, Scheme(CLUSTER_JACCARD, SHORT_NGRAM), mode="cluster")
    first = np.arange(table.rows)
    first[found.row] = found.twin
    return first


def _asked(row: Mapping[str, Any], layout: Layout) -> str:
    try:
        return first_asked(messages_of(row, layout))
    except ValueError:
        return ""  # it is told as unreadable, on whichever side it falls


def _origin(place: str) -> str:
    """`belle.jsonl:12` for `belle.jsonl: row 12`."""
    file, _, row = place.rpartition(": row ")
    return f"{file}:{row}"


def _of_provenance(batch: "pa.RecordBatch", field: str) -> "pa.Array | None":
    """A field of the rows' provenance; None when they have none of ours."""
    import pyarrow.compute as pc
    from pyarrow import types

    if PROVENANCE not in batch.schema.names:
        return None
    column = batch.column(PROVENANCE)
    known = types.is_struct(column.type) and column.type.get_field_index(field) >= 0
    return pc.struct_field(column, field) if known else None
