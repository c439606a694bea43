"""datasketch, query then insert: `python -P datasketch.py TEXTS.parquet KEPT.parquet 16x8|auto`.

With xxh32 instead of its default SHA-1, which takes half as long again. `auto` lets it choose bands for the threshold.
"""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from datasketch import MinHash, MinHashLSH

TEXTS, KEPT, BANDS = sys.argv[1:4]


def shingles(text):
    return {text[at : at + 5].encode() for at in range(max(1, len(text) - 4))}


def main():
    table = pq.read_table(TEXTS)
    index = MinHashLSH(threshold=0.8, num_perm=128, params=None if BANDS == "auto" else (16, 8))
    sets = (shingles(text) for text in table["text"].to_pylist())
    kept = []
    sketches = MinHash.generator(sets, num_perm=128, hashfunc=xxhash.xxh32_intdigest)
    for number, sketch in zip(table["id"].to_pylist(), sketches, strict=True):
        if not index.query(sketch):
            index.insert(number, sketch)
            kept.append(number)
    pq.write_table(pa.table({"id": pa.array(kept, pa.int64())}), KEPT)


if __name__ == "__main__":
    main()
