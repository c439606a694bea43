"""The release that a publication goes on from: that of --previous, else of --push, else of --out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builders.engine.folder import Previous, configs_of, files_by_config, held_by, manifest_of, rows_of_configs
from builders.engine.hub import Head, HubRepo
from builders.engine.publication.pool import Pool
from builders.engine.push import check_visibility
from builders.engine.release import Continued
from schemas.settings import InputError

if TYPE_CHECKING:
    from builders.publish import Publish


class Place(NamedTuple):
    """Where a release goes on the Hub, and what was there when the work began."""

    repo: HubRepo
    head: Head | None


def place_on_the_hub(settings: "Publish") -> Place | None:
    """What --push names, as it is now; raises InputError when it may not be written to."""
    if not settings.push:
        return None
    repo = HubRepo(settings.push)
    kind = "a pull request" if settings.pr else "public" if settings.public else "private"
    print(f"the release will be pushed to {repo.url} ({kind})", file=sys.stderr)
    head = repo.head()
    if not settings.pr:
        repo.check_right_to_write(head)
    if head:
        check_visibility(repo, head, public=settings.public)
    return Place(repo, head)


def continued_from(settings: "Publish", out: Path, pool: Pool, place: Place | None) -> Continued:
    """The release before, whose rows keep their split; raises InputError for an --out that is in use otherwise."""
    taken = frozenset(place.head.tags) - {place.head.tag} if place and place.head else frozenset()
    return Continued(_release_before(settings, out, [config.name for config in pool.configs], place), taken)


def _release_before(settings: "Publish", out: Path, configs: list[str], place: Place | None) -> Previous | None:
    held = held_by(out)
    if held and "configs" not in held:
        raise InputError(f"--out {out}: holds what {held.get('builder', 'a builder')} built; name another folder")
    if settings.previous:
        return _read(settings.previous, configs, flag="--previous")
    if place and place.head and (previous := place.repo.joined(place.head, configs)):
        return previous
    return _read(out, configs, flag="--out") if held else None


def _read(folder: Path, configs: list[str], *, flag: str) -> Previous:
    """An earlier release of a builder or of this command that holds one of these configs at least."""
    manifest = manifest_of(folder, flag)
    if set(configs_of(manifest)).isdisjoint(configs):
        raise InputError(f"{flag} {folder}: holds a release of {manifest['config']}, and none of {', '.join(configs)}")
    files = {config: [folder / name for name in names] for config, names in files_by_config(manifest).items()}
    return Previous(manifest["version"], manifest["content"], rows_of_configs(files, flag))
