"""Conversations to token ids on disk: read once, rendered once, then memory-mapped by every process of the run.

.run/parts/0-train.arrow     rows of the first --data, in its own order: input_ids, labels; more parts follow, of it or others
.run/train.npy               which of all parts' rows are trained on, in which order
.run/train.arrow             with packing: those rows laid side by side instead, with seq_lengths
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainers.engine.data import Rendered, Renderer, Unfit
from trainers.engine.rows.data_sets import Conversation, Unreadable

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset
    from numpy.typing import NDArray

AT_ONCE = 512
"""Conversations that are tokenized together."""


Numbered = tuple[int, Conversation | Unreadable]
SAMPLES = 2
"""Rendered rows that are kept, to be shown."""
LeaveOut = Callable[[int, str, str], None]
"""Told of every row that is not trained on: its number, its place, and why."""


class Encoded(NamedTuple):
    """The rows of one part."""

    file: Path
    rows: "NDArray[np.int64]"
    """(kept,): number of each among all that was read, ascending."""
    lengths: "NDArray[np.int64]"
    """(kept,): tokens."""
    answers: "NDArray[np.int64]"
    """(kept,): tokens under the loss."""
    dropped: "NDArray[np.int64]"
    """(kept,): messages lost."""
    samples: Sequence[Rendered]
    """The first few."""


def encode(read: Iterable[Conversation | Unreadable], renderer: Renderer, file: Path, leave_out: LeaveOut) -> Encoded:
    """Render, check and write conversations; what cannot be trained on is told to `leave_out` with its reason."""
    import numpy as np
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    figures = array("q")  # four a row, so that millions of rows fit the memory
    samples: list[Rendered] = []
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema({"input_ids": ids, "labels": ids})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for chunk in _chunks(enumerate(read)):
            fit = list(_rendered(chunk, renderer, leave_out))
            for row, one in fit:
                figures.extend((row, len(one.ids), _answer(one), one.dropped))
            samples += [one for _, one in fit[: SAMPLES - len(samples)]]
            stream.write_batch(_batch([one for _, one in fit], schema))
    rows, lengths, answers, dropped = np.array(figures, np.int64).reshape(-1, 4).T
    return Encoded(file, rows, lengths, answers, dropped, samples)


def _answer(rendered: Rendered) -> int:
    return sum(end - start for start, end in rendered.answers)


def _chunks(rows: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    while chunk := list(islice(rows, AT_ONCE)):
        yield chunk


def _rendered(chunk: Sequence[Numbered], renderer: Renderer, leave_out: LeaveOut) -> Iterator[tuple[int, Rendered]]:
    readable: list[tuple[int, Conversation]] = []
    for row, one in chunk:
        if isinstance(one, Unreadable):
            leave_out(row, one.place, one.reason)
        else:
            readable.append((row, one))
    told = renderer.render_many([conversation.messages for _, conversation in readable])
    for (row, conversation), rendered in zip(readable, told, strict=True):
        if isinstance(rendered, Unfit):
            leave_out(row, conversation.place, str(rendered))
        elif fault := renderer.faults(conversation.messages, rendered):
            leave_out(row, conversation.place, fault)
        else:
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
    from datasets import Dataset

    if (folder / f"{split}.arrow").exists():
        return Dataset.from_file(str(folder / f"{split}.arrow"))
    return in_parts(folder, split) if (folder / f"{split}.npy").exists() else None


def in_parts(folder: Path, split: str) -> "Dataset":
    """The rows of a split in their order, where they lie in its parts."""
    import numpy as np
    from datasets import Dataset, concatenate_datasets

    parts = sorted((folder / "parts").glob(f"*-{split}.arrow"), key=lambda file: int(file.name.split("-")[0]))
    rows = concatenate_datasets([Dataset.from_file(str(file)) for file in parts])
    return rows.select(np.load(folder / f"{split}.npy"))
