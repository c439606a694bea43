"""The texts that deduplication is measured on; the same name and number give the same file.

    python tests/benchmarks/dedup_sets.py toyhom --out toyhom.parquet
    python tests/benchmarks/dedup_sets.py books --texts 26000000 --out books.parquet

--data (or SUWEN_TEST_DATA) is the folder of real data. Every set is Parquet with the columns `id` and `text`.

toyhom, bentsao          real: answers of doctors; answers of a model (of its questions almost none repeat).
smile, turns             real: first turns of counselling dialogues, of which none repeat; all turns, of which some do.
reports                  copies of 20 real exam findings, in each 0-20 % of the characters replaced: huge buckets.
books                    cuts of 150 characters of classical books. The books come again and again in editions, each
                         under its own permutation of the ideographs, so that two editions share nothing. Of the texts
                         10 % are edited copies (1-15 % of a cut, in one or two places) and 1 % exact copies, half of
                         them of a cut in an earlier edition, anywhere in the file. Any number is written in flat memory.
"""

import argparse
import csv
import io
import itertools
import json
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Letters = NDArray[np.uint32]

SEED = 20261121
SCHEMA = pa.schema({"id": pa.int64(), "text": pa.string()})
LEAST = 10  # letters: some peers cannot sign a text that is shorter than their n-gram
BLOCK = 16_384

TEMPLATES, FINDINGS = 20, 300
MOST_REPLACED = 0.2

CUT = 150
EDITED, EXACT = 0.10, 0.01
LEAST_EDIT, MOST_EDIT = 0.01, 0.15
REPLACE, INSERT, DELETE = range(3)
IDEOGRAPHS = slice(0x4E00, 0xA000)
MARKUP = re.compile(r"<[^<>]*>|\s+|[^\u0000-\uffff]")


def texts_of(name: str, texts: int | None, data: Path) -> Iterator[pa.Array]:
    """The set in blocks that fit in memory; all of a real one when no number is given."""
    if name == "reports":
        return reports(data, texts or 100_000)
    if name == "books":
        return books(data, texts or 560_000)
    long_enough = (text for text in REAL[name](data) if len(folded(text)) >= LEAST)
    return iter([pa.array(itertools.islice(long_enough, texts), pa.string())])


def folded(text: str) -> str:
    """What is compared: width, case, space and punctuation do not count."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def toyhom(data: Path) -> Iterator[str]:
    """Answers of doctors."""
    for path in sorted(data.glob("toyhom_zh_qa/*.csv")):
        for row in csv.DictReader(io.StringIO(path.read_bytes().decode("gb18030"))):
            yield row["answer"]


def bentsao(data: Path) -> Iterator[str]:
    """Answers of a model that was asked about facts of a knowledge graph."""
    with (data / "bentsao" / "llama_data.json").open() as lines:
        for line in lines:
            yield json.loads(line)["output"]


def dialogues(data: Path) -> Iterator[list[str]]:
    """What is said in each counselling dialogue, turn by turn; the client opens."""
    for path in sorted(data.glob("smile/*.jsonl")):
        with path.open() as lines:
            for line in lines:
                yield [turn["content"] for turn in json.loads(line)["dialogue"]]


def smile(data: Path) -> Iterator[str]:
    """What clients open with."""
    return (turns[0] for turns in dialogues(data))


def turns(data: Path) -> Iterator[str]:
    """All that clients and counsellors say."""
    return itertools.chain.from_iterable(dialogues(data))


REAL = {"toyhom": toyhom, "bentsao": bentsao, "smile": smile, "turns": turns}


def findings(data: Path) -> list[str]:
    """The longest findings that the examiner of AI Hospital reads out from real records."""
    said = set()
    with (data / "ai_hospital" / "dialog_history_gpt3.jsonl").open() as lines:
        for line in lines:
            turns = json.loads(line)["dialog_history"]
            said |= {turn["content"] for turn in turns if turn["role"] == "Reporter"}
    longest = sorted(said, key=lambda text: (-len(text), text))[:TEMPLATES]
    return [text[:FINDINGS] for text in longest]


def reports(data: Path, texts: int) -> Iterator[pa.Array]:
    """Copies of the findings; what is replaced comes from the findings too."""
    random = np.random.default_rng(SEED)
    templates = np.stack([letters_of(text) for text in findings(data)])
    pool = templates[(templates >= IDEOGRAPHS.start) & (templates < IDEOGRAPHS.stop)]
    for first in range(0, texts, BLOCK):
        block = min(BLOCK, texts - first)
        copies = templates[random.integers(TEMPLATES, size=block)]
        replaced = random.random(copies.shape) < random.uniform(0, MOST_REPLACED, (block, 1))
        yield strings(np.where(replaced, random.choice(pool, copies.shape), copies))


class Edition(NamedTuple):
    """The books as one block of the file has them."""

    table: Letters
    """The letter that stands for each."""
    first: int
    """Where the first cut begins."""


def edition(number: int) -> Edition:
    """Drawn from its number alone, so that a later block can copy from it."""
    random = np.random.default_rng((SEED, number, 0))
    table = np.arange(0x10000, dtype=np.uint32)
    table[IDEOGRAPHS] = random.permutation(table[IDEOGRAPHS])
    return Edition(table, int(random.integers(CUT)))


def books(data: Path, texts: int) -> Iterator[pa.Array]:
    """One edition a block, until there are enough."""
    paths = sorted(data.glob("tcm_books/*.txt"))
    words = "".join(MARKUP.sub("", path.read_bytes().decode("gb18030", errors="ignore")) for path in paths)
    letters = letters_of(words)[: CUT * (texts + 2)]
    for number in itertools.count():
        block = strings(edition_with_copies(letters, number))
        yield block[:texts]
        texts -= len(block)
        if texts <= 0:
            return


def edition_with_copies(letters: Letters, number: int) -> Letters:
    """All cuts of an edition, copies of some of them and of an earlier edition's, shuffled; (texts, CUT)."""
    random = np.random.default_rng((SEED, number, 1))
    own, elder = edition(number), edition(int(random.integers(max(number, 1))))
    cuts = len(letters) // CUT - 2  # one for where the first begins, one for what deletions draw in at the end
    copies = round(cuts * (EDITED + EXACT) / (1 - EDITED - EXACT))
    edited = round(copies * EDITED / (EDITED + EXACT))
    cut = np.concatenate([np.arange(cuts), random.integers(cuts, size=copies)])
    from_elder = np.zeros(len(cut), bool)
    from_elder[cuts:] = random.random(copies) < 0.5
    at = cut * CUT + np.where(from_elder, elder.first, own.first)
    at = at[:, None] + np.arange(CUT)
    fresh = np.zeros(at.shape, bool)
    shift, fresh[cuts : cuts + edited] = edits(random, edited)
    at[cuts : cuts + edited] += shift
    page = own.table[letters[at]]
    page[from_elder] = elder.table[letters[at[from_elder]]]
    page[fresh] = random.integers(IDEOGRAPHS.start, IDEOGRAPHS.stop, int(fresh.sum()), dtype=np.uint32)
    return page[random.permutation(len(page))]


def edits(random: np.random.Generator, texts: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each character of each text, how far from its place it is read, and whether it is a new one instead."""
    column = np.arange(CUT)
    shift, fresh = np.zeros((texts, CUT), np.int64), np.zeros((texts, CUT), bool)
    amount = np.ceil(random.uniform(LEAST_EDIT, MOST_EDIT, texts) * CUT).astype(np.int64)
    here = np.where(random.random(texts) < 0.5, amount, amount // 2)
    for length in (here[:, None], (amount - here)[:, None]):
        place = random.integers(0, CUT - length)
        kind = random.integers(3, size=(texts, 1))
        past = np.clip(column - place, 0, length)
        shift += np.where(kind == DELETE, length * (column >= place), np.where(kind == INSERT, -past, 0))
        fresh |= (kind != DELETE) & (column >= place) & (column < place + length)
    return shift, fresh


def letters_of(text: str) -> Letters:
    """Its code points."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint32)


def strings(letters: Letters) -> pa.Array:
    """Rows of code points as Arrow strings, without a Python string for each."""
    sizes = np.ones(letters.shape, np.uint8)
    for longer in (0x80, 0x800, 0x10000):
        sizes += letters >= longer
    ends = np.concatenate([[0], np.cumsum(sizes.sum(axis=1, dtype=np.int64))]).astype(np.int32)
    written = letters.astype("<u4").tobytes().decode("utf-32-le").encode()
    return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(written))


def write(blocks: Iterable[pa.Array], path: Path) -> int:
    """One row group a block, numbered; the file appears when it is whole. Returns the number of texts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, texts = path.with_suffix(".part"), 0
    settings = {"compression": "zstd", "compression_level": 1, "use_dictionary": False}
    with pq.ParquetWriter(part, SCHEMA, **settings) as writer:
        for block in blocks:
            ids = pa.array(np.arange(texts, texts + len(block)))
            writer.write_table(pa.table([ids, block], schema=SCHEMA))
            texts += len(block)
    part.replace(path)
    return texts


def on_disk(name: str, data: Path, home: Path) -> Path:
    """`toyhom`, or `books-560000`: the file under home, written if it is not there."""
    kind, _, number = name.partition("-")
    path = home / "dedup-sets" / f"{name}.parquet"
    if not path.exists():
        write(texts_of(kind, int(number) if number else None, data), path)
    return path


def folded_copy(path: Path) -> Path:
    """The same set after folding, for peers that do not fold, or not like this."""
    copy = path.with_suffix(".folded.parquet")
    if not copy.exists():
        blocks = pq.ParquetFile(path).iter_batches(BLOCK, columns=["text"])
        write((pa.array([folded(text) for text in block["text"].to_pylist()], pa.string()) for block in blocks), copy)
    return copy


def data_and_home(flags: argparse.ArgumentParser) -> None:
    """The two folders that every script here asks for."""
    real = os.environ.get("SUWEN_TEST_DATA")
    cache = Path.home() / ".cache" / "suwen-bench"
    flags.add_argument("--data", type=Path, default=real, required=real is None, help="folder of real data")
    flags.add_argument("--home", type=Path, default=cache, help="keeps sets and environments (default: %(default)s)")


def main() -> None:
    """Write one set and say what it is."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("name", choices=[*REAL, "reports", "books"])
    flags.add_argument("--texts", type=int)
    flags.add_argument("--out", type=Path, required=True)
    data_and_home(flags)
    asked = flags.parse_args()
    started = time.perf_counter()
    texts = write(texts_of(asked.name, asked.texts, asked.data), asked.out)
    seconds = time.perf_counter() - started
    figures = {"seconds": round(seconds, 2), "texts_per_second": round(texts / seconds)}
    print(json.dumps({"set": asked.name, "texts": texts, "bytes": asked.out.stat().st_size, **figures}))


if __name__ == "__main__":
    main()
