"""Tables read as conversations, batch by batch; and cut in two where nobody has held rows out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from builders.engine.splits import CLUSTER_JACCARD, hashed
from builders.sources.fields import id_of
from builders.sources.raw_rows import AT_ONCE, rejected_of
from builders.sources.tables import Table
from trainers.engine.rows.chat_rows import Conversation, Layout, Unreadable, first_asked, messages_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
NAMED = ("key", "id")
"""Columns that name a row; the first that is there counts."""
PROVENANCE = "provenance"
HELD_OUT = 20
"""One row in so many is held out: `hashed` gives validation 5 %."""


class Cut(NamedTuple):
    """Which rows of a table are held out, by near-duplicate cluster."""

    first: "NDArray[np.int64]"
    """(rows,): the first row of each row's cluster."""
    held_out: "NDArray[np.bool_]"
    """(rows,)"""


class Piece(NamedTuple):
    """Rows of one split: a table, or those of it on one side of a cut."""

    table: Table
    layout: Layout
    cut: Cut | None = None
    held_out: bool = False
    """Which side of the cut; what stands in the files and is no row is told on the other."""

    def read(self) -> Iterator[Conversation | Unreadable]:
        """Every row in order, a batch of them in memory; what is no row follows them."""
        columns = (*NAMED, "department", *self.layout.columns, PROVENANCE)
        for numbers, batch in self._batches(columns):
            found = _of_provenance(batch, "cluster")
            clusters = found.to_pylist() if found is not None else [""] * len(numbers)
            plain = batch.drop_columns([PROVENANCE]) if PROVENANCE in batch.schema.names else batch
            for number, row, cluster in zip(numbers, plain.to_pylist(), clusters, strict=True):
                yield self._conversation(number, row, cluster or "")
        if not self.held_out:
            yield from (Unreadable(broken.place, broken.reason) for broken in rejected_of(self.table))

    def licenses(self) -> Counter[str]:
        """Licence that rows state to be released under, "" where none is stated -> rows."""
        stated = Counter[str]()
        for found in self._stated("license"):
            stated.update({str(one["values"] or ""): one["counts"] for one in found.value_counts().to_pylist()})
        return stated or Counter({"": self._rows})

    def rehearsal(self) -> bool:
        """Whether any row has an answer of the rehearsal teacher."""
        return any(True in found.to_pylist() for found in self._stated("rehearsal"))

    @property
    def _rows(self) -> int:
        return self.table.rows if self.cut is None else int((self.cut.held_out == self.held_out).sum())

    def _stated(self, field: str) -> Iterator["pa.Array"]:
        """A field of the rows' provenance; nothing when they have none of ours."""
        if PROVENANCE in self.table.schema.names:
            found = (_of_provenance(batch, field) for _, batch in self._batches([PROVENANCE]))
            yield from (values for values in found if values is not None)

    def _batches(self, columns: Iterable[str]) -> Iterator[tuple[list[int], "pa.RecordBatch"]]:
        """(numbers, rows) of this piece; columns the table lacks are left out."""
        import numpy as np

        from builders.engine.dedup import arrow

        names = [name for name in dict.fromkeys(columns) if name in self.table.schema.names]
        first = 0
        for batch in self.table.batches(names, at_most=AT_ONCE):
            numbers, rows = np.arange(first, first + batch.num_rows), batch.num_rows
            if self.cut is not None:
                numbers = numbers[self.cut.held_out[numbers] == self.held_out]
                batch = batch.take(arrow.numbers(numbers - first))
            yield numbers.tolist(), batch
            first += rows

    def _conversation(self, number: int, row: Mapping[str, Any], cluster: str) -> Conversation | Unreadable:
        place = self.table.place(number)
        try:
            messages = messages_of(row, self.layout)
            key = next((own for name in NAMED if (own := id_of(row, name))), _origin(place))
        except ValueError as wrong:
            return Unreadable(place, str(wrong))
        if self.cut is not None:
            cluster = _origin(self.table.place(int(self.cut.first[number])))
        department = row.get("department")
        return Conversation(place, key, cluster, messages, department.strip() if isinstance(department, str) else "")


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
