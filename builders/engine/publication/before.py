"""The release that a publication goes on from: that of --previous, else of --push, else of --out."""

from pathlib import Path
from typing import TYPE_CHECKING

from builders.engine.folder import Previous, configs_of, files_by_config, held_by, manifest_of, rows_of_configs
from builders.engine.publication.pool import Pool
from builders.engine.push import Place
from builders.engine.release import Continued
from schemas.settings import InputError

if TYPE_CHECKING:
    from builders.publish import Publish


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
