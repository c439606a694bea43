"""The card of a joined release: a section per config, and every figure measured on the files it stands beside."""

import json
from collections.abc import Sequence

from cards.dataset_card import SIZES, table
from cards.handwritten import wrapped
from cards.publication import FORMS, ConfigFacts, PublicationFacts
from cards.words import INTENDED_USE

LIMITS = (
    "Answers of origin distilled, rewritten and expanded were written by a language model, and no physician checked them; some "
    "will be wrong or unsafe.",
    "Answers of origin real are what doctors wrote or said online; they saw no patient, and nobody checked them again.",
    "Doses, indications and guidelines may be out of date or invented; models trained on this repeat them.",
    "Near-duplicates are found by their characters: the same advice in other words stays, and so may an evaluation item in other "
    "words.",
    "Mostly simplified Chinese and the Chinese health system; do not assume that it transfers.",
)
BY_WHOM = {
    "distilled from a model": ("distilled",),
    "from doctors (real, rewritten, expanded)": ("real", "rewritten", "expanded"),
}
"""The rows of HuatuoGPT's grid (arXiv 2305.15075, table 1)."""
STEPS = {
    "same_row": "same row twice",
    "exact_copy": "exact copy",
    "near_duplicate": "near-duplicate",
    "evaluation_item": "evaluation item",
    "left_out": "left out by the mix",
}


def publication_card(facts: PublicationFacts, version: str, *, history: str = "") -> str:
    """The README.md of a joined release. `history` says what became of the rows of the release before."""
    sections = [
        _head(facts, version, history),
        _holds(facts),
        _loading(facts),
        _grid(facts),
        *(_config(config) for config in facts.configs),
        _alike(facts),
        _decontaminated(facts),
        _making(facts),
        _use(facts),
    ]
    return f"---\n{metadata(facts)}---\n\n" + wrapped("\n\n".join(section for section in sections if section))


def title(facts: PublicationFacts) -> str:
    """The name of the data set as a person would say it."""
    return ", ".join(config.name.replace("_", " ") for config in facts.configs).capitalize()


def metadata(facts: PublicationFacts) -> str:
    """The YAML block: an entry per config, the first the default."""
    from huggingface_hub import DatasetCardData

    origins = {origin for origin, forms in facts.grid.items() if any(forms.values())}
    made, found = bool(origins - {"real"}), bool(origins - {"distilled"})
    creators = ["machine-generated"] * made + ["found"] * found
    licenses = [license or "unknown" for license in facts.licenses]
    data = DatasetCardData(
        language=["zh"],
        license=licenses[0] if len(licenses) == 1 else licenses,
        pretty_name=title(facts),
        annotations_creators=creators,
        language_creators=list(creators),  # one list twice would be an anchor in YAML
        multilinguality="monolingual",
        size_categories=[next((name for limit, name in SIZES if facts.rows < limit), "n>10M")],
        source_datasets=["original"],
        task_categories=["text-generation", "question-answering"],
        tags=["medical", *["synthetic"] * made, "sft", "suwen", *["rehearsal"] * facts.rehearsal],
        configs=[_entry(config, default=config is facts.configs[0]) for config in facts.configs],
    )
    return str(data.to_yaml()).rstrip() + "\n"


def _entry(config: ConfigFacts, *, default: bool) -> dict[str, object]:
    files = [{"split": split, "path": f"{config.name}/{split}-*"} for split in config.splits]
    return {"config_name": config.name, **({"default": True} if default else {}), "data_files": files}


def _head(facts: PublicationFacts, version: str, history: str) -> str:
    lines = [f"# {title(facts)} {version}", ""]
    if facts.rehearsal:
        lines += [
            "> **Rehearsal rows.** Written from templates to practise with; they say nothing true and must not be published.",
            "",
        ]
    many = "one config" if len(facts.configs) == 1 else f"{len(facts.configs)} configs"
    lines.append(
        f"{facts.rows:,} rows in {many}, joined by `publish` (suwen {facts.code_version}): duplicates removed across configs, "
        "splits cut over everything at once."
    )
    if history:
        lines += ["", f"Rows {history}."]
    return "\n".join(lines)


def _holds(facts: PublicationFacts) -> str:
    splits = {config.name: config.splits for config in facts.configs}
    steps = [step for step in STEPS if any(arrows.removed[step] for arrows in facts.arrows.values())]
    lines = [
        (
            arrows.read,
            *(arrows.removed[step] for step in steps),
            arrows.rows,
            *(splits.get(name, {}).get(split, 0) for split in facts.splits),
        )
        for name, arrows in facts.arrows.items()
    ]
    total = [sum(column) for column in zip(*lines, strict=True)]
    head = ["config", "read", *(STEPS[step] for step in steps), "rows", *facts.splits]
    rows = [(name, *line) for name, line in zip((*facts.arrows, "all"), (*lines, total), strict=True)]
    return f"## What it holds\n\nRows read, what was removed on the way, rows left, and their splits.\n\n{table(head, rows)}"


def _loading(facts: PublicationFacts) -> str:
    loads = [
        f'{one.name} = datasets.load_dataset("PATH_OR_REPO", "{one.name}", split="{next(iter(one.splits))}")'
        for one in facts.configs
    ]
    return "\n".join(
        ["## Load it", "", "Trainers read the column `messages` of any config.", "", "```python", "import datasets", *loads, "```"]
    )  # fmt: skip


def _grid(facts: PublicationFacts) -> str:
    grid = facts.grid
    lines = [
        (whom, *(sum(grid[origin][form] for origin in origins) for form in FORMS)) for whom, origins in BY_WHOM.items()
    ]
    single = {origin: sum(forms.values()) for origin, forms in grid.items() if any(forms.values())}
    return f"## Origin and form\n\n{table(['', *FORMS], lines)}\n\nRows by origin: {_counts(single)}."


def _config(config: ConfigFacts) -> str:
    parts = [f"## {config.name}"]
    parts += [_made(config, number) for number in range(len(config.made))]
    if config.teachers:
        parts.append("Rows by model that wrote into them: " + _counts(config.teachers) + ".")
    head = ["per row", "5 %", "25 %", "median", "75 %", "95 %", "longest"]
    names = {"characters": "characters said", "messages": "messages"}
    parts.append(
        table(
            head,
            [(names[one.column], one.p5, one.p25, one.median, one.p75, one.p95, one.longest) for one in config.lengths],
        )
    )
    sources = [(one.source or "(none named)", one.license or "(none stated)", one.rows) for one in config.sources]
    parts.append(table(["source", "licence it states", "rows"], sources))
    parts.append(
        "Released under: " + _counts({name or "(no licence)": rows for name, rows in config.licenses.items()}) + "."
    )
    parts.append("Columns: " + ", ".join(f"`{name}`" for name in config.columns) + ".")
    parts.append(f"```json\n{json.dumps(config.example, ensure_ascii=False, indent=2)}\n```")
    return "\n\n".join(parts)


def _made(config: ConfigFacts, number: int) -> str:
    made = config.made[number]
    teachers = f" with {', '.join(made.teachers)}" if made.teachers else ""
    told = f"{made.rows:,} rows made by `{made.builder}` (suwen {made.code_version}){teachers}, release {made.version}."
    if made.judged is not None:
        thrown = _counts(dict(sorted(made.rejected.items(), key=lambda reason: -reason[1])))
        told += f" Its builder judged {made.judged:,} and threw away {thrown or 'nothing'}."
    return told


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _alike(facts: PublicationFacts) -> str:
    at, what = facts.settings["max_jaccard"], _compared(facts)
    lines = [(gone, kept, rows) for gone, twins in facts.twins.items() for kept, rows in twins.items()]
    found = table(["rows of", "that repeat a row of", "rows"], lines) if lines else "No two rows were that alike."
    clusters = (
        f"The splits are cut by the first turn: {facts.rows:,} rows in {facts.clusters:,} clusters over all configs (the largest "
        f"has {facts.largest_cluster:,}), and no cluster stands in two splits."
    )
    return (
        f"## Near-duplicates\n\nRemoved was what repeats a row before it: {what} with an exact Jaccard similarity of {at} or more. The "
        f"order of precedence: {', '.join(facts.settings['order'])}; within a config that of its rows.\n\n{found}\n\n{clusters}"
    )


def _compared(facts: PublicationFacts) -> str:
    words = {"dialogue": "everything said", "first-turn": "the first turn", "answer": "the answers"}
    return words[facts.settings["granularity"]]


def _decontaminated(facts: PublicationFacts) -> str:
    if not facts.benchmarks:
        return "## Evaluation sets\n\nCompared with none: `--against` names those to keep out."
    lines = [
        (one["benchmark"], one["items"], one["items_hit"], one["removed"], ", ".join(f"{why} {n}" for why, n in one["pairs"].items() if n))
        for one in facts.benchmarks
    ]  # fmt: skip
    head = ["evaluation set", "items", "items given away", "rows removed", "why (pairs)"]
    told = (
        f"Removed was what is near to an item ({_compared(facts)}, Jaccard {facts.settings['max_jaccard']}), holds half of its "
        "13-grams, or shares 64 characters in a row with it."
    )
    return f"## Evaluation sets\n\n{told}\n\n{table(head, lines)}"


def _making(facts: PublicationFacts) -> str:
    digests = [(one.name, made.builder, made.version, f"`{made.content}`", f"`{made.ledger_digest}`") for one in facts.configs for made in one.made]  # fmt: skip
    settings = json.dumps(facts.settings, ensure_ascii=False, indent=2, sort_keys=True)
    return (
        "## How it was made\n\n"
        + table(["config", "builder", "release", "content", "ledger digest"], digests)
        + f"\n\n```json\n{settings}\n```\n\nPrompts and settings of every build are in `manifest.json`, under `configs`."
    )


def _use(facts: PublicationFacts) -> str:
    licenses = [license or "not stated for some rows; such rows are not pushed" for license in facts.licenses]
    return (
        f"## Intended use\n\n{_list(INTENDED_USE)}\n\n## Limits\n\n{_list(LIMITS)}\n\n## Licence\n\n{_list(licenses)}"
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
