"""FastSketchLSH by its fastest path: `python -P fastsketchlsh.py TEXTS.parquet KEPT.parquet`.

"CSR layout for maximum throughput": 5-grams are hashed by numpy, without Python strings. Its flags mark every text of a
group, the first too; so that one is kept, the flagged texts are queried again. Texts have five characters or more.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from FastSketchLSH import LSH, FastSimilaritySketch

TEXTS, KEPT = sys.argv[1:3]
AT_ONCE = 20_000


def hashed_shingles(texts):
    """Hashes of the 5-grams of all texts, one after the other, and where each text begins."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    grams = np.lib.stride_tricks.sliding_window_view(letters, 5)
    hashes = np.zeros(len(grams), np.uint64)
    for place in range(5):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + grams[:, place]
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    whole = np.ones(len(grams), bool)
    for back in range(1, 5):  # these reach into the next text
        whole[ends[:-1] - back] = False
    return hashes[whole], np.concatenate([[0], np.cumsum(lengths - 4)]).astype(np.uint64)


def first_of_each_group(flags, sketches, index):
    """The same answer as query then insert: a text goes when an earlier one that is kept shares a band."""
    kept = np.ones(len(flags), bool)
    flagged = np.flatnonzero(flags)
    for first in range(0, len(flagged), AT_ONCE):
        rows = flagged[first : first + AT_ONCE]
        found, starts = index.query(sketches[rows], format="csr")
        found = np.asarray(found).astype(np.int64)
        for row, start, end in zip(rows, starts[:-1], starts[1:], strict=True):
            candidates = found[start:end]
            kept[row] = not kept[candidates[candidates < row]].any()
    return kept


def main():
    sketcher = FastSimilaritySketch(size=128, seed=42)
    ids, sketches = [], []
    for block in pq.ParquetFile(TEXTS).iter_batches(AT_ONCE):
        ids.append(block["id"].to_numpy())
        hashes, starts = hashed_shingles(block["text"].to_pylist())
        sketches.append(sketcher.batch_csr(hashes, starts, prehashed=True))
    sketches = np.vstack(sketches)
    index = LSH(num_perm=128, num_bands=16)
    flags = index.insert_and_query_duplicates(sketches)
    kept = np.concatenate(ids)[first_of_each_group(flags, sketches, index)]
    pq.write_table(pa.table({"id": kept}), KEPT)


if __name__ == "__main__":
    main()
