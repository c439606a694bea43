"""Publish a release folder: one commit with everything, one tag, and both read back before anybody is told.

    main   A ── B          B = Release v1.1.0, on top of what the build read (a stale parent is refused)
                └ v1.1.0   then every file is downloaded at the tag and its SHA-256 compared with the manifest

Killed in between, the next push finds the commit, tags it and goes on. Nothing is pushed that the rehearsal wrote or
that has no licence, and of what was rejected only ids and reasons.
"""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.card_words import card_to_push, keeps_its_own_words
from builders.engine.folder import (
    CARD,
    MANIFEST,
    as_json,
    configs_of,
    files_by_config,
    manifest_of,
    replace_files,
    rows_of,
    rows_of_configs,
    sha256_of,
)
from builders.engine.hub import Head, HubRepo, Moved
from cards.version import difference, next_version, parts
from schemas.settings import InputError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete


class Pushed(NamedTuple):
    """Where a release is now."""

    repo: str
    commit: str
    tag: str | None
    """None while it is a pull request."""
    pull_request: str | None = None
    made: bool = True
    """False when it was there already."""


class Place(NamedTuple):
    """Where a release goes on the Hub, and what was there when the work began."""

    repo: HubRepo
    head: Head | None


def place_on_the_hub(name: str | None, *, public: bool, pr: bool) -> Place | None:
    """What --push names, as it is now, if anything; raises InputError when it may not be written to."""
    if not name:
        return None
    repo = HubRepo(name)
    kind = "a pull request" if pr else "public" if public else "private"
    print(f"the release will be pushed to {repo.url} ({kind})", file=sys.stderr)
    head = repo.head()
    if not pr:
        repo.check_right_to_write(head)
    if head:
        check_visibility(repo, head, public=public)
    return Place(repo, head)


class _Package(NamedTuple):
    """The files that go up."""

    manifest: dict[str, Any]
    card: bytes
    folder: Path

    @property
    def tag(self) -> str:
        return f"v{self.manifest['version']}"

    @property
    def sent(self) -> dict[str, bytes | Path]:
        """Path in the repository -> content."""
        files: dict[str, bytes | Path] = {name: self.folder / name for name in self.manifest["files"]}
        return {**files, CARD: self.card, MANIFEST: as_json(self.manifest)}


def push(folder: Path, repo: HubRepo, head: Head | None, *, public: bool, pr: bool) -> Pushed:
    """Publish the release in a folder on top of `head`; raises InputError or Unavailable, with nothing half done."""
    manifest = manifest_of(folder, "--push")
    refuse_unfit(folder, manifest)
    if head is None:
        repo.create(private=not public)
        head = repo.head()
        if head is None:
            raise InputError(f"--push {repo.name}: this token may not see the repository")
    check_visibility(repo, head, public=public)
    if not pr:
        head = _repair_tag(repo, head)
    if _holds(head, manifest):
        return _read_back(folder, repo, head, made=False)
    _check_version(folder, manifest, repo, head)
    _refuse_strangers(repo, head, manifest)
    package = _packed(folder, manifest, repo, head)
    title = f"Release {package.tag}"
    if number := repo.open_pull_request(title):
        raise InputError(f"--push {repo.name}: pull request {number} proposes {package.tag}; merge or close it first")
    added, deleted = _operations(package, head)
    try:
        commit, pull_request = repo.commit(added, deleted, title=title, parent=head.commit, pr=pr)
    except Moved:  # perhaps by this very commit, whose answer was lost
        now = repo.head()
        if now is None or not _holds(now, manifest):
            raise
        return _read_back(folder, repo, _repair_tag(repo, now), made=True)
    if pull_request:
        _compare(repo, package.manifest, commit)
        return Pushed(repo.name, commit, None, pull_request)
    repo.tag(package.tag, commit)
    tags = {**head.tags, package.tag: commit}
    head = head._replace(commit=commit, manifest=package.manifest, card=package.card.decode(), tags=tags)
    return _read_back(folder, repo, head, made=True)


def refuse_unfit(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise InputError unless every file is as the manifest says and every row may be published."""
    import polars as pl

    for name, entry in manifest["files"].items():
        if name != CARD and sha256_of(folder / name) != entry["sha256"]:
            raise InputError(f"--push: {folder / name} is not the file that {MANIFEST} names; build again")
    for name in (name for name in manifest["files"] if name.endswith(".parquet")):
        provenance = pl.scan_parquet(folder / name).select(
            pl.col("provenance").struct.field("rehearsal").sum(),
            unlicensed=(pl.col("provenance").struct.field("license") == "").sum(),
        )
        rehearsed, unlicensed = provenance.collect().row(0)
        if rehearsed:
            raise InputError(f"--push: {folder / name}: {rehearsed:,} rows are from the rehearsal; such rows stay here")
        if unlicensed:
            raise InputError(
                f"--push: {folder / name}: {unlicensed:,} rows have no licence; build again with --license"
            )


def check_visibility(repo: HubRepo, head: Head, *, public: bool) -> None:
    """Raise InputError when publishing there is publishing to everybody, and that was not said."""
    if not head.private and not public:
        raise InputError(f"--push {repo.name}: the repository is public; say --public if that is meant")
    if head.private and public:
        print(f"{repo.url} is private and stays so; its settings page changes that", file=sys.stderr)


def _repair_tag(repo: HubRepo, head: Head) -> Head:
    """Tag a release whose push was cut short, or which came by a pull request."""
    if head.tag and head.tag not in head.tags:
        assert head.manifest is not None
        commit = repo.commit_of(MANIFEST)
        _compare(repo, head.manifest, commit)
        repo.tag(head.tag, commit)
        head = head._replace(tags={**head.tags, head.tag: commit})
        print(f"{head.tag} had no tag on the Hub; it has now", file=sys.stderr)
    return head


def _refuse_strangers(repo: HubRepo, head: Head, manifest: dict[str, Any]) -> None:
    """Files in the folder of a config that no release named would be loaded with ours."""
    ours = {*manifest["files"], *(head.manifest["files"] if head.manifest else ())}
    folders = tuple(f"{config}/" for config in configs_of(manifest))
    if strange := sorted(name for name in head.names - ours if name.startswith(folders)):
        raise InputError(
            f"--push {repo.name}: holds {strange[0]}, which no release made and `load_dataset` would load with it; move it there"
        )


def _holds(head: Head, manifest: dict[str, Any]) -> bool:
    there = head.manifest
    return there is not None and all(there[name] == manifest[name] for name in ("version", "content"))


def _check_version(folder: Path, manifest: dict[str, Any], repo: HubRepo, head: Head) -> None:
    """A folder may be older than the Hub, or go on from another release: its version must say what changed there."""
    version, tag = manifest["version"], f"v{manifest['version']}"
    if tag in head.tags:
        raise InputError(
            f"--push {repo.name}: {tag} is taken there; build with --push, which continues from the Hub and takes a free version"
        )
    joined = "configs" in manifest
    previous = repo.joined(head, configs_of(manifest)) if joined else repo.previous(head, manifest["config"])
    if previous is None:
        return
    paths = {config: [folder / name for name in names] for config, names in files_by_config(manifest).items()}
    rows = rows_of_configs(paths, "--push") if joined else rows_of(paths[manifest["config"]], "--push")
    changes = difference(previous.rows, rows)
    least = next_version(previous.version, changes, repackaged=True)
    if parts(version) < parts(least):
        told = ", ".join(f"{count:,} {what}" for what, count in changes._asdict().items())
        raise InputError(
            f"--push {repo.name}: against v{previous.version} there ({told}) this is at least v{least}, and the folder says "
            f"{tag}; build with --push, which continues from the Hub"
        )


def _packed(folder: Path, manifest: dict[str, Any], repo: HubRepo, head: Head) -> _Package:
    card = card_to_push(folder, repo, head)
    entry = {"sha256": hashlib.sha256(card).hexdigest(), "bytes": len(card)}
    return _Package({**manifest, "files": {**manifest["files"], CARD: entry}}, card, folder)


def _operations(package: _Package, head: Head) -> "tuple[list[CommitOperationAdd], list[CommitOperationDelete]]":
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    old = set(head.manifest["files"]) if head.manifest else set()
    added = [CommitOperationAdd(name, content) for name, content in package.sent.items()]
    return added, [CommitOperationDelete(name) for name in sorted((old & head.names) - set(package.sent))]


def _read_back(folder: Path, repo: HubRepo, head: Head, *, made: bool) -> Pushed:
    """Compare what stands at the tag with the manifest, and make the folder the same.

    Where --pr must not tag what was merged without a tag, main stands for it.
    """
    assert head.manifest is not None
    tag = head.tag if head.tag in head.tags else None
    _compare(repo, head.manifest, tag or head.commit)
    named = {name: entry["sha256"] for name, entry in head.manifest["files"].items() if name != CARD}
    differs = [name for name, digest in named.items() if sha256_of(folder / name) != digest]
    theirs = {name: repo.text(name, tag or head.commit).encode() for name in differs}  # reports; the data are the same
    if head.card is not None and (made or not keeps_its_own_words(folder, repo, head)):
        theirs[CARD] = head.card.encode()
    replace_files(folder, {**theirs, MANIFEST: as_json(head.manifest)})
    return Pushed(repo.name, head.tags[tag] if tag else head.commit, tag, made=made)


def _compare(repo: HubRepo, manifest: dict[str, Any], revision: str) -> None:
    named = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    found = repo.hashes(named, revision)
    if wrong := [name for name, digest in named.items() if found[name] != digest]:
        raise InputError(f"--push {repo.name}: at {revision}, {wrong[0]} is not the file that {MANIFEST} names")
