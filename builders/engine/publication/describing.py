"""What a joined release says of itself: facts, reports, card, Croissant, and the manifest that trainers read.

manifest.json has the fields of a builder's, over all configs, and `configs`:

{"version": "1.2.0", "content": "…", "builder": "publish", "rehearsal": false, "files": {…}, "kept_here": {…},
 "config": "distilled_instructions+real_dialogues",       configs in their order, the first the default
 "splits": {"train": 78621, …}, "teachers": […], "prompts": {…}, "ledger_digest": "…", "settings": {"order": […], …},
 "configs": {"real_dialogues": {
     "rows": 25986, "splits": {"train": 23387, …},        its files: real_dialogues/SPLIT-*.parquet
     "columns": {"messages": "list<…>", …}, "grid": {"rewritten": {"conversation": 25986}}, "licenses": {"cc-by-4.0": 25986},
     "builder": "curate_dialogues", "teachers": […], "prompts": {…}, "ledger_digest": "…", "rehearsal": false,
     "arrows": {"read": 30120, "near_duplicate": 311, …}, "made": [{"version", "content", "settings", …}, …]}, …}}

A manifest without `configs` is that of a builder: one config, named by `config`. What several folders of one config say
differently is under `made`, a folder each; `builder` then joins their builders by "+".
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import schemas
from builders.engine.dedup.benchmarks import Benchmarks
from builders.engine.folder import CARD, MANIFEST, REJECTED, as_json
from builders.engine.publication.choosing import Chosen, Fate
from builders.engine.publication.folders import Config, in_order
from builders.engine.publication.pool import Pool
from builders.engine.release import hashes
from cards.publication import Arrows, ConfigFacts, Made, PublicationFacts, clusters, measured
from cards.version import Difference
from schemas.base import canonical


class Content(NamedTuple):
    """What a draft holds before it is described."""

    facts: PublicationFacts
    files: dict[str, dict[str, Any]]
    """Name -> {"sha256", "bytes"} of every file of rows, kept or rejected."""

    @property
    def digest(self) -> str:
        """SHA-256 over the files and the facts: what a release says, whatever it is called."""
        files = {name: entry["sha256"] for name, entry in self.files.items()}
        return hashlib.sha256(canonical([self.facts.model_dump(mode="json"), files]).encode()).hexdigest()


def content_of(draft: Path, pool: Pool, chosen: Chosen, benchmarks: Benchmarks, settings: dict[str, Any]) -> Content:
    """The facts of a draft, measured on its files; every count must add up."""
    arrows = arrows_of(pool, chosen)
    files = {config.name: _by_split(draft / config.name) for config in pool.configs if arrows[config.name].rows}
    configs = tuple(_config_facts(one, arrows[one.name], files[one.name]) for one in pool.configs if one.name in files)
    for config in configs:
        assert config.rows == config.arrows.rows, f"{config.name}: {config.rows} rows in the files of {config.arrows}"
    found = clusters(files.values())
    assert not found.cut, f"{found.cut} clusters stand in two splits"
    facts = PublicationFacts(
        configs=configs,
        empty={name: one for name, one in arrows.items() if not one.rows},
        settings=settings,
        code_version=schemas.__version__,
        twins=_twins(pool, chosen),
        benchmarks=tuple(benchmarks.report(lambda row: _in_public(pool, row))),
        clusters=found.number,
        largest_cluster=found.largest,
        answered_on=max(folder.answered_on for config in pool.configs for folder in config.folders),
    )
    return Content(facts, dict(hashes(draft)))


def arrows_of(pool: Pool, chosen: Chosen) -> dict[str, Arrows]:
    """Rows of each config after every step, which add up."""
    arrows = {}
    for config, counts in zip(pool.configs, chosen.counts(pool), strict=True):
        one = Arrows(
            read=config.rows,
            same_row=counts[Fate.SAME],
            exact_copy=counts[Fate.EXACT],
            near_duplicate=counts[Fate.NEAR],
            evaluation_item=counts[Fate.GIVEN_AWAY],
            left_out=counts[Fate.LEFT_OUT],
            rows=counts[Fate.KEPT],
        )
        assert one.read == one.rows + sum(one.removed.values()), f"{config.name}: {one}"
        arrows[config.name] = one
    return arrows


def _by_split(folder: Path) -> dict[str, list[str]]:
    """Split -> its files, splits in the order they are usually named."""
    files: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.parquet"), key=lambda path: in_order(path.name)):
        files.setdefault(path.name.split("-")[0], []).append(str(path))
    return files


def _config_facts(config: Config, arrows: Arrows, files: Mapping[str, Sequence[str]]) -> ConfigFacts:
    columns = {field.name: str(field.type) for field in config.schema}
    made = tuple(folder.made for folder in config.folders)
    return ConfigFacts(name=config.name, made=made, arrows=arrows, columns=columns, **measured(files))


def _twins(pool: Pool, chosen: Chosen) -> dict[str, dict[str, int]]:
    """Config of removed rows -> config of the kept ones they repeat -> rows."""
    names = [config.name for config in pool.configs]
    gone = (chosen.twin >= 0).nonzero()[0].tolist()
    pairs = Counter((pool.config_of(row), pool.config_of(int(chosen.twin[row]))) for row in gone)
    twins: dict[str, dict[str, int]] = {}
    for (row, twin), count in sorted(pairs.items()):
        twins.setdefault(names[row], {})[names[twin]] = count
    return twins


def _in_public(pool: Pool, row: int) -> str:
    """A row's name where it may be published: a key may be text, so its hash stands for it."""
    config, key, _ = pool.index.row(row)
    return f"{config}/{hashlib.sha256(key.encode()).hexdigest()}"


def describe(draft: Path, content: Content, version: str, changes: Difference, history: str) -> None:
    """Reports, card, Croissant and, last, the manifest."""
    from cards.publication_card import publication_card
    from cards.publication_croissant import publication_croissant

    facts, reports = content.facts, draft / "reports"
    counts = {name: arrows.model_dump() for name, arrows in facts.arrows.items()}
    alike = {"max_jaccard": facts.settings["max_jaccard"], "granularity": facts.settings["granularity"]}
    for name, report in {
        "counts": counts,
        "duplicates": {**alike, "repeat": facts.twins},
        "evaluation": facts.benchmarks,
        "changes": changes._asdict(),
    }.items():
        (reports / f"{name}.json").write_bytes(as_json(report))
    (draft / CARD).write_text(publication_card(facts, version, history=history), encoding="utf-8")
    files = {one.name: dict(hashes(draft / one.name)) for one in facts.configs}
    (draft / "croissant.json").write_bytes(as_json(publication_croissant(facts, version, files)))


def write_manifest(draft: Path, content: Content, version: str) -> None:
    """The file that says what a folder holds."""
    facts, files = content.facts, dict(hashes(draft))
    configs = {one.name: _entry(one) for one in facts.configs}
    manifest = {
        "version": version,
        "content": content.digest,
        "config": "+".join(configs),
        "configs": configs,
        "builder": "publish",
        "code_version": facts.code_version,
        "settings": facts.settings,
        "teachers": _union(one["teachers"] for one in configs.values()),
        "prompts": _prompts(made for one in facts.configs for made in one.made),
        "ledger_digest": _digest([one["ledger_digest"] for one in configs.values()]),
        "splits": facts.splits,
        "rehearsal": facts.rehearsal,
        "files": {name: entry for name, entry in files.items() if not name.startswith(f"{REJECTED}/")},
        "kept_here": {name: entry for name, entry in files.items() if name.startswith(f"{REJECTED}/")},
    }
    (draft / MANIFEST).write_bytes(as_json(manifest))


def _entry(config: ConfigFacts) -> dict[str, Any]:
    made = config.made
    return {
        "rows": config.rows,
        "splits": config.splits,
        "columns": config.columns,
        "grid": config.grid,
        "licenses": config.licenses,
        "rehearsal": config.rehearsed > 0,
        "builder": "+".join(_union([one.builder] for one in made)),
        "teachers": _union(one.teachers for one in made),
        "prompts": _prompts(made),
        "ledger_digest": _digest([one.ledger_digest for one in made]),
        "arrows": config.arrows.model_dump(),
        "made": [one.model_dump(mode="json") for one in made],
    }


def _union(several: Iterable[Sequence[str]]) -> list[str]:
    """What they say, each once, in order."""
    return list(dict.fromkeys(one for some in several for one in some))


def _prompts(several: Iterable[Made]) -> dict[str, str]:
    """Prompt name -> SHA-256; of a prompt that builds had in different words all, joined by "+"."""
    digests: dict[str, list[str]] = {}
    for made in several:
        for name, digest in made.prompts.items():
            digests.setdefault(name, []).append(digest)
    return {name: "+".join(dict.fromkeys(found)) for name, found in digests.items()}


def _digest(digests: list[str]) -> str:
    """One ledger's digest, or the SHA-256 over several."""
    return digests[0] if len(digests) == 1 else hashlib.sha256(canonical(digests).encode()).hexdigest()
