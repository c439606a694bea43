"""datatrove's four MinHash stages on the local executor, two workers: `python -P datatrove.py TEXTS.parquet KEPT.parquet`.

Characters are its words here, by the hook that it documents: a tokenizer passed as the language. Its own setting for
Chinese cuts words with jieba and takes six times as long in the first stage. The texts come folded: its own folding,
which makes every number 0, is off.
"""

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer

TEXTS, KEPT = sys.argv[1:3]
WORKERS = 2
BUCKETS = 16


class Characters(WordTokenizer):
    def word_tokenize(self, text):
        return list(text)

    def sent_tokenize(self, text):
        return [text]

    def span_tokenize(self, text):
        return [(0, len(text))]


def split(folder):
    """One file a worker: that is its unit of work. Its ids are strings."""
    table = pq.read_table(TEXTS)
    table = table.set_column(0, "id", table["id"].cast(pa.string()))
    folder.mkdir()
    rows = -(-len(table) // WORKERS)
    for worker in range(WORKERS):
        pq.write_table(table.slice(worker * rows, rows), folder / f"{worker:02d}.parquet")


def run(pipeline, tasks):
    LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=WORKERS, logging_dir=None).run()


def main():
    split(Path("in"))
    hashing = HashConfig(precision=64, hash_fc="xxhash")
    folding = TextNormConfig(False, False, False, False, False)
    bands = {"n_grams": 5, "num_buckets": BUCKETS, "hashes_per_bucket": 8}
    config = MinhashConfig(**bands, hash_config=hashing, norm_config=folding)
    run([ParquetReader("in"), MinhashDedupSignature("signatures", config=config, language=Characters())], WORKERS)
    run([MinhashDedupBuckets("signatures", "buckets", config=config)], BUCKETS)
    run([MinhashDedupCluster("buckets", "removed", config=config)], 1)
    run([ParquetReader("in"), MinhashDedupFilter("removed"), JsonlWriter("out")], WORKERS)
    kept = []
    for path in Path("out").glob("*.gz"):
        with gzip.open(path) as lines:
            kept += [int(json.loads(line)["id"]) for line in lines]
    pq.write_table(pa.table({"id": pa.array(sorted(kept), pa.int64())}), KEPT)


if __name__ == "__main__":
    main()
