"""The work of `python -m builders.publish FOLDER… --out DIR`: open, choose, split, write, describe, push."""

import contextlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.closing import last_line, say_where_it_is
from builders.engine.dedup.benchmarks import Benchmarks
from builders.engine.dedup.talk import Progress
from builders.engine.errors import Unavailable
from builders.engine.folder import CARD, discard, fresh_draft, holds, only_builder_of, put_in_place
from builders.engine.produce import SHORT, STOPPED
from builders.engine.publication.before import continued_from
from builders.engine.publication.choosing import REASONS, Chosen, choose, evaluation_sets, leave_out, places
from builders.engine.publication.describing import arrows_of, content_of, describe, write_manifest
from builders.engine.publication.folders import Config, open_configs
from builders.engine.publication.mix import mix_of
from builders.engine.publication.pool import Pool
from builders.engine.publication.writing import write_rejected, write_rows
from builders.engine.push import Place, place_on_the_hub, push, refuse_unfit
from builders.engine.release import Continued, keep_handwritten, told
from schemas.settings import InputError

if TYPE_CHECKING:
    from builders.publish import Publish


def publish(settings: "Publish", out: Path) -> int:
    """Join the folders into a release in `out`, and push it if that is asked; gives the exit code."""
    try:
        _check_places(settings, out)
        with only_builder_of(out):
            configs = open_configs(settings.folders, settings.order)
            _check_mix(settings, configs)
            _check_push(settings, configs)
            return _publish(settings, out, Pool(configs))
    except Unavailable as lost:
        print(f"stopped: {lost}; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("ended at once; run the same command again", file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        raise InputError(f"{wrong.filename or out}: {wrong.strerror or wrong}") from None


def _check_places(settings: "Publish", out: Path) -> None:
    """What is written must not be read."""
    for folder in settings.folders:
        one, other = out.resolve(), folder.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise InputError(f"--out {out}: is in {folder}, or holds it; name another folder")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file")


def _check_mix(settings: "Publish", configs: list[Config]) -> None:
    names = [config.name for config in configs]
    if strange := [name for name in mix_of(settings.mix) if name not in names]:
        raise InputError(f"--mix: no folder holds {strange[0]}; they hold {', '.join(names)}")


def _check_push(settings: "Publish", configs: list[Config]) -> None:
    """Raise InputError before the work when the rows could not be published anyway."""
    if not settings.push:
        if settings.public or settings.pr:
            raise InputError(f"--{'public' if settings.public else 'pr'}: say where to, with --push ORG/NAME")
        return
    for folder in (folder for config in configs for folder in config.folders):
        if folder.manifest.get("rehearsal"):
            raise InputError(f"--push: {folder.path} holds rows from the rehearsal; such rows stay here")
        if not settings.license:
            refuse_unfit(folder.path, folder.manifest)


def _publish(settings: "Publish", out: Path, pool: Pool) -> int:
    place = place_on_the_hub(settings.push, public=settings.public, pr=settings.pr)
    continued = continued_from(settings, out, pool, place)
    with _scratch(out) as scratch:
        benchmarks = evaluation_sets(settings.against, settings.against_text, settings.granularity, scratch)
        chosen, short = _chosen(settings, pool, benchmarks, scratch)
        figures = _figures(pool, chosen)
        if short and not (settings.short and len(chosen.kept)):
            print(f"short: {'; '.join(short)}. Nothing was released; --short releases what is left.", file=sys.stderr)
            last_line({**figures, "version": None, "path": None})
            return SHORT
        released = _release(settings, out, pool, chosen, benchmarks, continued)
    figures |= {"version": released.version, "path": str(out)}
    _say_what_was_made(settings, out, released, continued)
    return _push(settings, out, place, released, figures)


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """An empty folder beside the release for what is worked with; one that a killed run left is emptied first."""
    folder = out.resolve().with_name(f".{out.resolve().name}.work")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(settings: "Publish", pool: Pool, benchmarks: Benchmarks, scratch: Path) -> tuple[Chosen, list[str]]:
    """Which rows stay, and of which config there are too few."""
    progress = Progress()
    print("reading " + ", ".join(f"{one.name} {one.rows:,}" for one in pool.configs), file=sys.stderr)
    pool.check_keys()
    chosen = choose(
        pool,
        benchmarks,
        granularity=settings.granularity,
        max_jaccard=settings.max_jaccard,
        scratch=scratch,
        say=progress,
    )
    progress.clear()
    short = leave_out(pool, chosen, mix_of(settings.mix), settings.seed)
    for name, arrows in arrows_of(pool, chosen).items():
        steps = [f"{count:,} {step.replace('_', ' ')}" for step, count in arrows.removed.items() if count]
        print(f"{name}: {' → '.join([f'{arrows.read:,} read', *steps, f'{arrows.rows:,} rows'])}", file=sys.stderr)
        if not arrows.rows:
            short.append(f"{name}: no row is left")
    return chosen, short


def _figures(pool: Pool, chosen: Chosen) -> dict[str, Any]:
    arrows = arrows_of(pool, chosen)
    removed = {reason: int((chosen.fate == fate).sum()) for fate, reason in REASONS.items()}
    return {
        "rows": {name: one.rows for name, one in arrows.items()},
        "removed": {reason: count for reason, count in removed.items() if count},
    }


class _Released(NamedTuple):
    version: str
    configs: list[str]
    splits: Mapping[str, int]
    history: str


def _release(
    settings: "Publish", out: Path, pool: Pool, chosen: Chosen, benchmarks: Benchmarks, continued: Continued
) -> _Released:
    """Write the release to `out`, or leave the one there when it is the same."""
    target, previous = out.resolve(), continued.previous
    draft = fresh_draft(target)
    try:
        old = dict(previous.rows.select("key", "split").iter_rows()) if previous else {}
        rows = write_rows(draft, pool, chosen, places(pool, chosen, old), settings.license)
        (draft / "reports").mkdir()
        write_rejected(draft, pool, chosen, benchmarks)
        content = content_of(draft, pool, chosen, benchmarks, _for_the_record(settings, pool, benchmarks))
        changes = continued.changes(rows)
        version = continued.version(changes, content.digest)
        history = told(changes, f"since {previous.version}") if previous else ""
        if not holds(target, content.digest, version):
            describe(draft, content, version, changes, history)
            keep_handwritten(draft / CARD, target / CARD)
            write_manifest(draft, content, version)
            put_in_place(draft, target)
    finally:
        discard(draft)
    return _Released(version, [config.name for config in content.facts.configs], content.facts.splits, history)


def _for_the_record(settings: "Publish", pool: Pool, benchmarks: Benchmarks) -> dict[str, Any]:
    """The settings that decide, saved with the data; of a file its name alone."""
    return {
        "order": [config.name for config in pool.configs],
        "against": [one["benchmark"] for one in benchmarks.report(str)],
        "mix": dict(mix_of(settings.mix)),
        **settings.model_dump(mode="json", include={"against_text", "granularity", "max_jaccard", "license", "seed"}),
    }


def _say_what_was_made(settings: "Publish", out: Path, released: _Released, continued: Continued) -> None:
    splits = ", ".join(f"{split} {count:,}" for split, count in released.splits.items())
    print(f"{'+'.join(released.configs)} {released.version} → {out} ({splits})", file=sys.stderr)
    if released.history:
        print(f"  {released.history}", file=sys.stderr)
    if not settings.push:
        load = f"datasets.load_dataset({str(out)!r}, {released.configs[0]!r})"
        print(f'next: python -c "import datasets; print({load})"', file=sys.stderr)


def _push(settings: "Publish", out: Path, place: Place | None, released: _Released, figures: dict[str, Any]) -> int:
    """Push what was released; the figures are told whatever becomes of that."""
    pushed = None
    try:
        if place:
            pushed = push(out, place.repo, place.head, public=settings.public, pr=settings.pr)
            say_where_it_is(pushed, out, released.configs[0], public=settings.public)
    finally:
        last_line(figures, pushed)
    return 0
