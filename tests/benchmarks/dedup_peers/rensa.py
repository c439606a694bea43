"""rensa's deduplicator, as its README shows it: `python -P rensa.py TEXTS.parquet KEPT.parquet`.

It keeps the first of a group and checks candidates on their estimated similarity. The faster rho sketch of its headline
figures only flags texts, the first of a group too, and on short ones misses a great part.
"""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
from rensa import RMinHashDeduplicator

TEXTS, KEPT = sys.argv[1:3]
AT_ONCE = 5_000


def shingles(text):
    return [text[at : at + 5] for at in range(max(1, len(text) - 4))]


def main():
    deduplicator = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True, num_bands=16)
    kept = []
    for block in pq.ParquetFile(TEXTS).iter_batches(AT_ONCE):
        ids, texts = block["id"].to_pylist(), block["text"].to_pylist()
        new = deduplicator.add_pairs((str(number), shingles(text)) for number, text in zip(ids, texts, strict=True))
        kept += [number for number, is_new in zip(ids, new, strict=True) if is_new]
    pq.write_table(pa.table({"id": pa.array(kept, pa.int64())}), KEPT)


if __name__ == "__main__":
    main()
