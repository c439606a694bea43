"""Write a build as a folder that is the Hub repository: card, manifest, reports, one directory of Parquet per config.

Everything is written beside the target under a temporary name, and takes its place when it is whole. Equal rows give
equal bytes: nothing in the folder depends on the clock, the path or the number of calls at once.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import schemas
from builders.engine.folder import (
    CARD,
    MANIFEST,
    REJECTED,
    Previous,
    as_json,
    discard,
    fresh_draft,
    holds,
    put_in_place,
    sha256_of,
)
from builders.engine.parquet import ParquetShards
from builders.engine.run import Rejected, Workshop
from builders.engine.splits import assign_splits
from cards.facts import BuildFacts, Cell, DatasetFacts, measure
from cards.version import FIRST, Difference, difference, next_version
from schemas.base import Row, canonical
from schemas.settings import BuildSettings, InputError

if TYPE_CHECKING:
    import polars


class Continued(NamedTuple):
    """What a release goes on from."""

    previous: Previous | None
    taken: frozenset[str] = frozenset()
    """Tags that something else has where it will be pushed."""

    def changes(self, rows: "polars.DataFrame") -> Difference:
        """What became of the rows of the release before; all are new when there is none."""
        return difference(self.previous.rows, rows) if self.previous else Difference(rows.height, 0, 0, 0)

    def version(self, changes: Difference, content: str) -> str:
        """The next version that is free; the same as before when nothing is different."""
        version = FIRST
        if self.previous:
            repackaged = self.previous.content != content
            version = next_version(self.previous.version, changes, repackaged=repackaged)
        while f"v{version}" in self.taken:
            version = next_version(version, changes, repackaged=True)
        return version


class Release(NamedTuple):
    """What was written."""

    path: Path
    config: str
    version: str
    splits: dict[str, int]
    changes: Difference | None
    """What became of the rows of the release it continues."""


def release(
    settings: BuildSettings, *, family: type[Row], workshop: Workshop, coverage: dict[str, tuple[int, int]],
    calls_read: Iterable[str], inputs: tuple[str, ...], continued: Continued,
) -> Release:  # fmt: skip
    """Write the release to `settings.out`, and return what the folder holds."""
    config = workshop.stamp.config
    target = settings.out.resolve()
    draft = fresh_draft(target)
    previous = continued.previous
    written = _write_rows(draft / config, family, workshop, previous)
    _write_rejected(draft / REJECTED, workshop)
    columns = {name: field.description or "" for name, field in family.model_fields.items()}
    if family.messages is not Row.messages:
        columns["messages"] = "The row as a conversation, for trainers."
    build = _build_facts(settings, workshop, coverage, {*written.calls, *calls_read}, inputs, columns)
    facts = measure(build, {split: [str(path) for path in paths] for split, paths in written.files.items()})
    content = _content(facts, draft)
    changes = continued.changes(written.rows)
    version = continued.version(changes, content)
    if holds(target, content, version):
        discard(draft)  # nothing changed: the release stays as it is
        return Release(settings.out, config, version, facts.splits, changes if previous else None)
    since = f"since {previous.version}" if previous else ""
    _describe(draft, facts, version, changes, since)
    _write_rejected_ids(draft / "reports" / "rejected.jsonl", workshop)
    keep_handwritten(draft / CARD, target / CARD)
    _write_manifest(draft, facts, version, content)
    put_in_place(draft, target)
    return Release(settings.out, config, version, facts.splits, changes if previous else None)


class _Written(NamedTuple):
    files: dict[str, list[Path]]
    rows: "polars.DataFrame"
    calls: set[str]


def _write_rows(folder: Path, family: type[Row], workshop: Workshop, previous: Previous | None) -> _Written:
    """Parquet per split, in the order of the seeds."""
    import polars as pl

    from schemas.features import arrow_schema

    def rows() -> Iterator[Row]:
        return (family.model_validate_json(line) for line in workshop.rows)

    old = dict(previous.rows.select("key", "split").iter_rows()) if previous else {}
    places = assign_splits(((row.key, row.likeness) for row in rows()), old)
    index: dict[str, list[str]] = {"key": [], "id": [], "split": []}
    calls: set[str] = set()
    with ParquetShards(folder, arrow_schema(family)) as shards:
        for row in rows():
            split, cluster = places[row.key]
            row = row.model_copy(update={"provenance": row.provenance.model_copy(update={"cluster": cluster})})
            shards.add(split, row.record())
            for column, value in zip(index.values(), (row.key, row.id, split), strict=True):
                column.append(value)
            calls.update(row.provenance.calls)
    return _Written(shards.files, pl.DataFrame(index), calls)


def _write_rejected(folder: Path, workshop: Workshop) -> None:
    import pyarrow as pa

    schema = pa.schema([pa.field(name, pa.string()) for name in Rejected.model_fields])
    if not len(workshop.rejected):
        return
    with ParquetShards(folder, schema) as shards:
        for line in workshop.rejected:
            shards.add("rejected", json.loads(line))


def _write_rejected_ids(path: Path, workshop: Workshop) -> None:
    """What is published of the rejects: an id and the reason, never text. A key may be text, so its hash stands for it."""
    if not len(workshop.rejected):
        return
    with path.open("w", encoding="utf-8") as file:
        for line in workshop.rejected:
            rejected = json.loads(line)
            id = hashlib.sha256(rejected["key"].encode()).hexdigest()
            file.write(json.dumps({"id": id, "reason": rejected["reason"]}, ensure_ascii=False) + "\n")


def keep_handwritten(card: Path, before: Path) -> None:
    """Carry over what people wrote into the card that this release replaces."""
    from cards.handwritten import handwritten, with_handwritten

    if not before.exists():
        return
    try:
        theirs = handwritten(before.read_text(encoding="utf-8"))
    except ValueError as wrong:  # UnicodeDecodeError is one
        raise InputError(f"{before}: {wrong}; mend or move it") from None
    card.write_text(with_handwritten(card.read_text(encoding="utf-8"), theirs), encoding="utf-8")


def _build_facts(
    settings: BuildSettings, workshop: Workshop, coverage: dict[str, tuple[int, int]], calls: set[str], inputs: tuple[str, ...],
    columns: dict[str, str],
) -> BuildFacts:  # fmt: skip
    stamp = workshop.stamp
    used = workshop.switchboard.ledger.used(calls)
    answered = datetime.datetime.fromtimestamp(used.last_at, datetime.UTC).date().isoformat() if used.calls else ""
    return BuildFacts(
        config=stamp.config,
        builder=stamp.builder,
        code_version=schemas.__version__,
        license=stamp.license,
        teachers=tuple(str(teacher.served) for teacher in workshop.switchboard.teachers.values()),
        prompts=stamp.prompts,
        inputs=inputs,
        columns=columns,
        settings=settings.for_the_record(),
        coverage={cell: Cell(asked=asked, reached=reached) for cell, (asked, reached) in sorted(coverage.items())},
        rejected=dict(sorted(workshop.reasons.items())),
        calls=used.calls,
        tokens_in=used.tokens_in,
        tokens_out=used.tokens_out,
        usd=None if used.usd is None else round(used.usd, 6),
        ledger_digest=used.digest,
        answered_on=answered,
    )


def _content(facts: DatasetFacts, draft: Path) -> str:
    """SHA-256 over the data files and the facts: what a release says, whatever it is called."""
    files = {name: entry["sha256"] for name, entry in hashes(draft)}
    return hashlib.sha256(canonical([facts.model_dump(mode="json"), files]).encode()).hexdigest()


def _describe(draft: Path, facts: DatasetFacts, version: str, changes: Difference, since: str) -> None:
    from cards.croissant import croissant
    from cards.dataset_card import dataset_card

    reports = draft / "reports"
    reports.mkdir()
    build = facts.build
    coverage = {cell: found.model_dump() for cell, found in build.coverage.items()}
    filters = {"judged": facts.judged, "kept": facts.rows, "rejected": build.rejected}
    for name, report in {"coverage": coverage, "filters": filters, "changes": changes._asdict()}.items():
        (reports / f"{name}.json").write_bytes(as_json(report))
    (draft / CARD).write_text(
        dataset_card(facts, version, history=told(changes, since) if since else ""), encoding="utf-8"
    )
    (draft / "croissant.json").write_bytes(as_json(croissant(facts, version, dict(hashes(draft / build.config)))))


def told(changes: Difference, since: str) -> str:
    """What became of the rows, in words."""
    return f"{since}: " + ", ".join(f"{count:,} {what}" for what, count in changes._asdict().items())


def _write_manifest(draft: Path, facts: DatasetFacts, version: str, content: str) -> None:
    build, files = facts.build, dict(hashes(draft))
    manifest = {
        "version": version,
        "content": content,
        "config": build.config,
        "builder": build.builder,
        "code_version": build.code_version,
        "settings": build.settings,
        "teachers": build.teachers,
        "prompts": {use.name: use.sha256 for use in build.prompts},
        "ledger_digest": build.ledger_digest,
        "splits": facts.splits,
        "rehearsal": facts.rehearsal,
        "files": {name: entry for name, entry in files.items() if not name.startswith(f"{REJECTED}/")},
        "kept_here": {name: entry for name, entry in files.items() if name.startswith(f"{REJECTED}/")},
    }
    (draft / MANIFEST).write_bytes(as_json(manifest))


def hashes(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, {"sha256", "bytes"}) of every file below a folder."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.relative_to(folder).as_posix(), {"sha256": sha256_of(path), "bytes": path.stat().st_size}
