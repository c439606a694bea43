"""Conversations to token ids on disk: read once, rendered once, then memory-mapped by every process of the run.

.run/parts/0-train.arrow     the rows of the first --data, in its own order: input_ids, labels
.run/train.npy               which of all parts' rows are trained on, in which order
.run/train.arrow             with packing: those rows laid side by side instead, with seq_lengths
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from trainers.engine.data import Rendered, Renderer, Unfit
from trainers.engine.rows.data_sets import Conversation, Unreadable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

AT_ONCE = 512
"""Conversations that are tokenized together."""


class Seen(Protocol):
    """Told of every row that was read."""

    def kept(self, conversation: Conversation, rendered: Rendered) -> None:
        """A row that is trained on."""

    def left_out(self, place: str, reason: str) -> None:
        """A row that is not, and why."""


class Encoded(NamedTuple):
    """The rows of one part."""

    file: Path
    rows: "NDArray[np.int64]"
    """(kept,): number of each among the readable rows of its data set, ascending."""
    lengths: "NDArray[np.int32]"
    """(kept,): tokens."""
    answers: "NDArray[np.int32]"
    """(kept,): tokens under the loss."""
    readable: int
    """Readable rows there were, kept or not."""


def encode(
    read: Iterable[Conversation | Unreadable],
    renderer: Renderer,
    file: Path,
    seen: Seen,
    *,
    wanted: "NDArray[np.bool_] | None" = None,
) -> Encoded:
    """Render, check and write conversations; what cannot be trained on is told to `seen` with its reason.

    `wanted` (readable,) leaves alone the rows that a mixture does not draw.
    """
    import numpy as np
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    rows: list[int] = []
    lengths: list[int] = []
    answers: list[int] = []
    readable = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema({"input_ids": ids, "labels": ids})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for chunk in _chunks(enumerate(_readable(read, seen))):
            readable += len(chunk)
            chunk = [one for one in chunk if wanted is None or wanted[one[0]]]
            fit = list(_rendered(chunk, renderer, seen))
            rows += [row for row, _ in fit]
            lengths += [len(rendered.ids) for _, rendered in fit]
            answers += [sum(end - start for start, end in rendered.answers) for _, rendered in fit]
            stream.write_batch(_batch([rendered for _, rendered in fit], schema))
    return Encoded(file, np.array(rows, np.int64), np.array(lengths, np.int32), np.array(answers, np.int32), readable)


def _readable(read: Iterable[Conversation | Unreadable], seen: Seen) -> Iterator[Conversation]:
    for row in read:
        if isinstance(row, Unreadable):
            seen.left_out(row.place, row.reason)
        else:
            yield row


def _chunks(rows: Iterator[tuple[int, Conversation]]) -> Iterator[list[tuple[int, Conversation]]]:
    while chunk := list(islice(rows, AT_ONCE)):
        yield chunk


def _rendered(
    chunk: Sequence[tuple[int, Conversation]], renderer: Renderer, seen: Seen
) -> Iterator[tuple[int, Rendered]]:
    told = renderer.render_many([conversation.messages for _, conversation in chunk])
    for (row, conversation), rendered in zip(chunk, told, strict=True):
        if isinstance(rendered, Unfit):
            seen.left_out(conversation.place, str(rendered))
        elif fault := renderer.faults(conversation.messages, rendered):
            seen.left_out(conversation.place, fault)
        else:
            seen.kept(conversation, rendered)
            yield row, rendered


def _batch(rendered: Sequence[Rendered], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    columns = [[one.ids for one in rendered], [one.labels() for one in rendered]]
    return pa.RecordBatch.from_arrays([pa.array(column, schema[0].type) for column in columns], schema=schema)


def put_in_order(folder: Path, split: str, order: "NDArray[np.int64]") -> None:
    """Say which rows of the parts of a split are used, in which order; they count through all parts."""
    import numpy as np

    np.save(folder / f"{split}.npy", order)


def ordered(folder: Path, split: str) -> "Dataset | None":
    """The rows of a split in their order, memory-mapped; None when there are none."""
    import numpy as np
    from datasets import Dataset, concatenate_datasets

    if (folder / f"{split}.arrow").exists():
        return Dataset.from_file(str(folder / f"{split}.arrow"))
    if not (folder / f"{split}.npy").exists():
        return None
    parts = sorted((folder / "parts").glob(f"*-{split}.arrow"), key=lambda file: int(file.name.split("-")[0]))
    rows = concatenate_datasets([Dataset.from_file(str(file)) for file in parts])
    return rows.select(np.load(folder / f"{split}.npy"))
