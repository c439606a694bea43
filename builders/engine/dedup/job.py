"""The work of `python -m builders.dedup`: open, search, write, report."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from builders.engine.dedup import arrow, talk
from builders.engine.dedup.benchmarks import Benchmark, Benchmarks
from builders.engine.dedup.find import Found, PairsSeen, find
from builders.engine.dedup.folding import Folding
from builders.engine.dedup.kernel import Kernel, kernel_for
from builders.engine.dedup.outcome import Clusters, Names, drafts, parquet, write_rows
from builders.engine.dedup.preference import order_of
from builders.engine.dedup.scheme import FORMAT, LONG_NGRAM, SHORT_NGRAM, Scheme
from builders.engine.dedup.stored import Index
from builders.engine.dedup.texts import Joined, OfTable, Source, chosen
from builders.engine.folder import as_json, only_builder_of
from builders.sources.tables import Table, merged_schema, open_tables
from builders.sources.texts import TextOf, text_of
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from builders.dedup import Dedup

    Rows = NDArray[np.integer[Any]]

STOPPED = 4
NOT_DECIDING = {"out", "pairs", "index", "kernel", "threads", "recipe", "dry_run"}
"""Settings that change nothing in what is kept."""
WORK = ".work"
REPORT, REJECTED = "report.json", "rejected.jsonl"


class Opened(NamedTuple):
    """What a run reads."""

    tables: Sequence[Table]
    texts: Sequence[TextOf]
    source: Joined
    benchmarks: Benchmarks
    fingerprint: str
    """Another one when inputs, evaluation sets or settings that decide are others."""


def run(settings: "Dedup") -> int:
    """The whole of it; gives the exit code."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())  # as fast here, and keeps a tenth less
    progress = talk.Progress()
    try:
        with _place(settings) as work:
            counts = _search(settings, work, progress)
    except KeyboardInterrupt:
        progress.clear()
        print("ended at once; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        progress.clear()
        if wrong.errno == errno.ENOSPC:
            raise InputError(f"--out {settings.out}: no space left on the disk; nothing was changed there") from None
        raise InputError(f"{wrong.filename or settings.out}: {wrong.strerror or wrong}") from None
    print(json.dumps(counts, ensure_ascii=False), flush=True)
    return 0


@contextlib.contextmanager
def _place(settings: "Dedup") -> Iterator[Path]:
    """A folder to work in: kept when the run is interrupted, so that it can go on."""
    if settings.dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
        return
    with only_builder_of(settings.out), _alone_with(settings.index):
        work = settings.out / WORK
        work.mkdir(parents=True, exist_ok=True)
        yield work
        shutil.rmtree(work)


def _alone_with(index: Path | None) -> contextlib.AbstractContextManager[None]:
    return only_builder_of(index, flag="--index") if index else contextlib.nullcontext()


def _search(settings: "Dedup", work: Path, progress: talk.Progress) -> dict[str, Any]:
    started = time.monotonic()
    opened, scheme = _open(settings, work), _scheme(settings)
    kernel = _kernel(settings.kernel, opened.source)
    threads = settings.threads or len(os.sched_getaffinity(0))
    talk.say_plan(opened.tables, scheme, kernel.name, threads)
    index = Index(settings.index, scheme) if settings.index else None
    names = Names(opened.tables, settings.id, index, opened.benchmarks)
    with _pairs_file(settings, names) as pairs:
        found = find(
            opened.source,
            scheme,
            mode=settings.mode,
            kernel=kernel,
            threads=threads,
            order=order_of(settings.keep, opened.tables, settings.id, precedence=settings.precedence),
            stored=index,
            benchmarks=opened.benchmarks,
            folder=_signs(work, opened.fingerprint),
            pairs=pairs,
            say=progress,
        )
    progress.clear()
    if index and index.replaces:
        print(f"--index {settings.index}: these texts were in it before, and are replaced", file=sys.stderr)
    counts = _counts(opened, found)
    report = _report(settings, opened, scheme, found, names, counts)
    if not settings.dry_run:
        _write(settings, opened, found, names, index, report)
    counts |= {"seconds": round(time.monotonic() - started, 3), "kernel": found.kernel}
    counts |= {"path": None if settings.dry_run else str(settings.out)}
    talk.say_result(counts)
    talk.say_benchmarks(report["benchmarks"])
    talk.say_examples(report["examples"])
    return counts


def _scheme(settings: "Dedup") -> Scheme:
    ngram = settings.ngram or (SHORT_NGRAM if settings.granularity == "first-turn" else LONG_NGRAM)
    folding = Folding(name for name in settings.fold.split(",") if name)
    return Scheme(settings.threshold, ngram, settings.permutations, settings.recall, folding)


def _kernel(name: str, source: Source) -> Kernel:
    """The kernel for a source, by what its first texts say of all of them."""
    first = next(source.texts(), None)
    try:
        return kernel_for(name, first.nbytes * source.rows // len(first) if first is not None and len(first) else 0)
    except ValueError as wrong:
        raise InputError(f"--kernel {name}: {wrong}") from None


def _open(settings: "Dedup", work: Path) -> Opened:
    _check_places(settings)
    if settings.mode == "cluster" and settings.index:
        raise InputError("--mode cluster joins texts across releases and takes no --index; use --mode leader")
    tables = open_tables(settings.inputs, work)
    merged_schema(tables)  # what does not fit together is told before the work
    _check_column(settings.id, "--id", tables)
    _check_id(settings.id, tables)
    _check_column(settings.keep.removeprefix("best:") if ":" in settings.keep else None, "--keep", tables)
    texts = [text_of(settings.text, settings.granularity, table.schema, table.name) for table in tables]
    source = Joined([OfTable(table, text.columns, text) for table, text in zip(tables, texts, strict=True)])
    exams = open_tables(settings.against, work) if settings.against else []
    benchmarks = Benchmarks([_benchmark(settings, table) for table in exams])
    decides = settings.model_dump(mode="json", exclude=NOT_DECIDING)
    told = json.dumps([decides, FORMAT, [table.fingerprint for table in (*tables, *exams)]], sort_keys=True)
    return Opened(tables, texts, source, benchmarks, hashlib.sha256(told.encode()).hexdigest())


def _check_places(settings: "Dedup") -> None:
    """What is written must not be read, now or by the next run."""
    if settings.index and settings.index.resolve() == settings.out.resolve():
        raise InputError(f"--index {settings.index}: is --out too; name another place")
    if settings.pairs and settings.pairs.is_dir():
        raise InputError(f"--pairs {settings.pairs}: is a folder")
    for flag, written in (("--out", settings.out), ("--index", settings.index), ("--pairs", settings.pairs)):
        for read in (*settings.inputs, *settings.against):
            if written and Path(read).exists() and written.resolve().is_relative_to(Path(read).resolve()):
                raise InputError(f"{flag} {written}: is in {read}, which is read; name another place")


def _check_column(name: str | None, flag: str, tables: Sequence[Table]) -> None:
    for table in tables:
        if name is not None and name not in table.schema.names:
            raise InputError(f"{flag}: {table.name} has no column {name!r}; it has {', '.join(table.schema.names)}")


def _check_id(name: str | None, tables: Sequence[Table]) -> None:
    import pyarrow as pa

    for table in tables:
        if name is not None and pa.types.is_nested(kind := table.schema.field(name).type):
            raise InputError(f"--id {name}: holds {kind}, nothing to name a row by")


def _benchmark(settings: "Dedup", table: Table) -> Benchmark:
    granularity = "text" if settings.against_text else settings.granularity
    asked, flag = settings.against_text or settings.text, "--against-text" if settings.against_text else "--text"
    try:
        text = text_of(asked, granularity, table.schema, table.name, flag=flag)
    except InputError as wrong:
        hint = "" if settings.against_text else "; --against-text says what is compared of evaluation sets"
        raise InputError(f"--against {wrong}{hint}") from None
    items = [item for batch in table.batches(text.columns) for item in text(batch).to_pylist()]
    return Benchmark(table.name, items, table.place)


def _signs(work: Path, fingerprint: str) -> Path:
    """The folder for the keys of this run; those of other runs are removed."""
    folder = work / f"signs-{fingerprint[:16]}"
    for other in work.glob("signs-*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def _pairs_file(settings: "Dedup", names: Names) -> "Iterator[PairsSeen | None]":
    if settings.pairs is None or settings.dry_run:
        yield None
        return
    import pyarrow as pa

    schema = pa.schema({"one": pa.large_string(), "other": pa.large_string(), "jaccard": pa.float64()})
    folder = settings.pairs.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    with drafts(folder) as draft, parquet(draft(settings.pairs.name), schema) as file:

        def write(one: "Rows", other: "Rows", jaccard: "NDArray[np.float64]") -> None:
            names.know(other)
            columns = [arrow.texts(names(one)), arrow.texts(names(other)), arrow.numbers(jaccard)]
            file.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))

        yield write


def _counts(opened: Opened, found: Found) -> dict[str, Any]:
    texts, given = opened.source.rows, int(found.contaminated.sum())
    exact = int((found.exact & ~found.contaminated).sum())
    return {
        "texts": texts,
        "exact": exact,
        "near": len(found.row) - exact - given,
        "evaluation": given,
        "clusters": Clusters(found).count,
        "kept": texts - len(found.row),
        "rejected": sum(table.rejected_rows for table in opened.tables),
    }


def _report(
    settings: "Dedup", opened: Opened, scheme: Scheme, found: Found, names: Names, counts: dict[str, Any]
) -> dict[str, Any]:
    """report.json."""
    inputs = [{"name": table.name, "rows": table.rows, "rejected": table.rejected_rows} for table in opened.tables]
    return {
        "settings": settings.model_dump(mode="json", exclude=NOT_DECIDING) | {"ngram": scheme.ngram},
        "inputs": inputs,
        "counts": dict(counts),
        "kernel": found.kernel,
        "bands": dict(zip(("bands", "rows"), scheme.bands, strict=True)),
        "probability_to_be_compared": {f"{jaccard:.2f}": round(chance, 4) for jaccard, chance in scheme.curve()},
        "candidates": found.candidates,
        "largest_bucket": found.longest_run,
        "benchmarks": opened.benchmarks.report(names.of),
        "examples": talk.examples(found, opened.source, names),
    }


def _write(
    settings: "Dedup", opened: Opened, found: Found, names: Names, index: Index | None, report: dict[str, Any]
) -> None:
    """Everything, or nothing; the kept rows take their place last."""
    import pyarrow as pa

    columns = [name for text in opened.texts for name in text.columns]
    rejected = [table.rejected for table in opened.tables if table.rejected]
    pa.default_memory_pool().release_unused()
    with drafts(settings.out) as draft:
        removed = draft("removed.parquet")
        if rejected:
            draft(REJECTED).write_bytes(b"".join(path.read_bytes() for path in rejected))
        draft(REPORT).write_bytes(as_json(report))
        write_rows(opened.tables, found, names, (draft("kept.parquet"), removed), columns)
        if index and found.keys:
            kept = np.setdiff1d(np.arange(opened.source.rows), found.row, assume_unique=True)
            index.add(found.keys, kept + opened.benchmarks.rows, _named(opened, kept, names))
    if not rejected:
        (settings.out / REJECTED).unlink(missing_ok=True)


def _named(opened: Opened, rows: "Rows", names: Names) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for place, texts in chosen(opened.source, rows):
        called = arrow.texts(names(rows[place : place + len(texts)]))
        yield pa.RecordBatch.from_arrays([called, texts], names=["name", "text"])
