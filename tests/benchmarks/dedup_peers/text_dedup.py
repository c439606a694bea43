"""text-dedup's MinHash command, on both cores: `python -P text_dedup.py TEXTS.parquet KEPT.parquet`.

It splits on what is not a letter; for Chinese 5-grams of characters the texts are written with spaces in between first.
"""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_from_disk

TEXTS, KEPT = sys.argv[1:3]
SPACED, RESULT = Path("spaced.parquet").resolve(), Path("result").resolve()


def main():
    table = pq.read_table(TEXTS)
    spaced = pa.array([" ".join(text) for text in table["text"].to_pylist()])
    pq.write_table(pa.table({"id": table["id"], "text": spaced}), SPACED)
    files = ["--path", "parquet", "--data_files", SPACED, "--split", "train", "--cache_dir", Path("cache").resolve()]
    bands = ["--num_perm", 128, "--b", 16, "--r", 8, "--threshold", 0.8, "--hash_func", "xxh3"]
    settings = ["--output", RESULT, "--column", "text", "--ngram", 5, *bands]
    command = [sys.executable, "-m", "text_dedup.minhash", *files, *settings]
    subprocess.run([str(word) for word in command], check=True)
    pq.write_table(pa.table({"id": pa.array(load_from_disk(str(RESULT))["id"], pa.int64())}), KEPT)


if __name__ == "__main__":
    main()
