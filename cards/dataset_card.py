"""A data set card: YAML the Hub understands, and every figure measured on the files it stands beside."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from cards.facts import DatasetFacts
from cards.handwritten import wrapped
from cards.words import INTENDED_USE, limits_of, title

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
LABELS_SHOWN = 60


def dataset_card(facts: DatasetFacts, version: str, *, history: str = "") -> str:
    """The README.md of a data set: YAML block and body. `history` says what became of the rows of the release before."""
    sections = [
        _head(facts, version, history),
        _loading(facts),
        _example(facts),
        _columns(facts),
        _sizes(facts),
        _coverage(facts),
        _shares(facts),
        _figures(facts),
        _losses(facts),
        _making(facts),
        _use(facts),
    ]
    return f"---\n{metadata(facts)}---\n\n" + wrapped("\n\n".join(section for section in sections if section))


def metadata(facts: DatasetFacts) -> str:
    """The YAML block, written by huggingface_hub's own card classes."""
    from huggingface_hub import DatasetCardData

    build = facts.build
    files = [{"split": split, "path": f"{build.config}/{split}-*"} for split in facts.splits]
    made = bool(facts.origins.keys() - {"real"})
    creators = ["machine-generated"] * made + ["found"] * facts.from_people
    data = DatasetCardData(
        language=["zh"],
        license=build.license or "unknown",
        pretty_name=title(facts),
        annotations_creators=creators,
        language_creators=list(creators),  # one list twice would be an anchor in YAML
        multilinguality="monolingual",
        size_categories=[next((name for limit, name in SIZES if facts.rows < limit), "n>10M")],
        source_datasets=["original"],
        task_categories=["text-generation", "question-answering"],
        tags=[
            "medical",
            *["synthetic"] * made,
            "preference" if _preferences(facts) else "sft",
            "suwen",
            *(["rehearsal"] if facts.rehearsal else []),
        ],
        configs=[{"config_name": build.config, "default": True, "data_files": files}],
    )
    return str(data.to_yaml()).rstrip() + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; numbers stand right."""
    body = [[_cell(value) for value in row] for row in rows]
    numeric = (
        [all(isinstance(value, int | float) for value in column) for column in zip(*rows, strict=True)] if body else []
    )
    rule = ["---:" if right else "---" for right in numeric] or ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in ([*head], rule, *body))


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _head(facts: DatasetFacts, version: str, history: str) -> str:
    build = facts.build
    lines = [f"# {title(facts)} {version}", ""]
    if facts.rehearsal:
        lines += [
            "> **Rehearsal rows.** Written from templates to practise with; they say nothing true and must not be published.",
            "",
        ]
    made = f"{facts.rows:,} rows made by `{build.builder}` (suwen {build.code_version})"
    spent = f"{build.calls:,} calls, {build.tokens_in:,} tokens in, {build.tokens_out:,} out, {_money(build.usd)}"
    lines.append(
        f"{made} with {', '.join(dict.fromkeys(build.teachers))}: {spent}."
        if build.calls
        else f"{made}; no model was asked."
    )
    if history:
        lines += ["", f"Rows {history}."]
    return "\n".join(lines)


def _money(usd: float | None) -> str:
    return "price unknown" if usd is None else f"${usd:.4f}"


def _preferences(facts: DatasetFacts) -> bool:
    return "chosen" in facts.build.columns


def _loading(facts: DatasetFacts) -> str:
    config = facts.build.config
    split = next(iter(facts.splits))
    trained = "`prompt`, `chosen` and `rejected` are" if _preferences(facts) else "`messages` is"
    return "\n".join(
        [
            "## Load it",
            "",
            "```python",
            "import datasets, polars",
            f'rows = datasets.load_dataset("PATH_OR_REPO", "{config}", split="{split}")   # {trained} what trainers read',
            f'table = polars.read_parquet("PATH/{config}/*.parquet")',
            "```",
        ]
    )


def _example(facts: DatasetFacts) -> str:
    return f"## A row\n\n```json\n{json.dumps(facts.example, ensure_ascii=False, indent=2)}\n```"


def _columns(facts: DatasetFacts) -> str:
    told = {"id": "SHA-256 of the content columns.", **facts.build.columns}
    return "## Columns\n\n" + table(["column", "holds"], [(name, about) for name, about in told.items() if about])


def _sizes(facts: DatasetFacts) -> str:
    splits = table(["split", "rows"], list(facts.splits.items()))
    head = ["text, in characters", "5 %", "25 %", "median", "75 %", "95 %", "longest"]
    lengths = [(one.column, one.p5, one.p25, one.median, one.p75, one.p95, one.longest) for one in facts.lengths]
    alike = "No two rows are near-duplicates of each other."
    if facts.clusters < facts.rows:
        alike = (
            f"{facts.rows:,} rows in {facts.clusters:,} clusters of near-duplicates; no split cuts through a cluster."
        )
    return f"## Sizes\n\n{splits}\n\n{alike}\n\n{table(head, lengths)}"


def _coverage(facts: DatasetFacts) -> str:
    """Two-part cells become a grid; anything else a list."""
    cells = {tuple(cell.split("/")): found for cell, found in facts.build.coverage.items()}
    if not cells:
        return ""
    asked, reached = sum(cell.asked for cell in cells.values()), sum(cell.reached for cell in cells.values())
    intro = f"## Coverage\n\n{reached:,} rows reached of {asked:,} asked for, over {len(cells):,} cells. Reached, or reached/asked where they differ."
    if reached < 2 * len(cells):
        return f"{intro} Too thin for a table: `reports/coverage.json` has every cell."
    if any(len(cell) != 2 for cell in cells):
        return f"{intro}\n\n" + table(
            ["cell", "rows"], [("/".join(cell), _fill(found)) for cell, found in cells.items()]
        )
    columns = sorted({column for _, column in cells})
    lines = [
        (row, *(_fill(cells[row, column]) if (row, column) in cells else "" for column in columns))
        for row in sorted({row for row, _ in cells})
    ]
    return f"{intro}\n\n" + table(["", *columns], lines)


def _fill(cell: Any) -> int | str:
    return cell.reached if cell.reached == cell.asked else f"{cell.reached}/{cell.asked}"


def _shares(facts: DatasetFacts) -> str:
    parts = []
    for column, counts in facts.shares.items():
        shown = list(counts.items())[:LABELS_SHOWN]
        rest = sum(counts.values()) - sum(count for _, count in shown)
        parts.append(
            f"**{column}**: "
            + ", ".join(f"{label or '(empty)'} {count:,}" for label, count in shown)
            + (f", others {rest:,}" if rest else "")
        )
    return "## Rows per label\n\n" + "\n\n".join(parts) if parts else ""


def _figures(facts: DatasetFacts) -> str:
    if not facts.figures:
        return ""
    head = ["measured on each row", "rows", "total", "5 %", "median", "95 %"]
    lines = [
        (one.name, one.rows, *(f"{value:,.6g}" for value in (one.total, one.p5, one.median, one.p95)))
        for one in facts.figures
    ]
    return f"## What was measured\n\n{table(head, lines)}"


def _losses(facts: DatasetFacts) -> str:
    rejected = facts.build.rejected
    if not rejected:
        return f"## What was thrown away\n\nNothing: {facts.judged:,} rows were judged and all were kept."
    lines = [
        (reason, count, f"{count / facts.judged:.2%}")
        for reason, count in sorted(rejected.items(), key=lambda item: -item[1])
    ]
    alike = sum(rejected.get(reason, 0) for reason in ("near-duplicate", "instruction too similar"))
    return (
        f"## What was thrown away\n\n{facts.judged:,} rows were judged, {facts.rows:,} kept. Too like another row: "
        f"{alike:,} ({alike / facts.judged:.2%}).\n\n{table(['reason', 'rows', 'share of judged'], lines)}"
    )


def _making(facts: DatasetFacts) -> str:
    build = facts.build
    named = [(use.name, f"`{use.sha256}`") for use in build.prompts]
    prompts = table(["prompt", "SHA-256"], named) if named else "No prompt file was named by the builder."
    inputs = "".join(f"\n- {one}" for one in build.inputs)
    sources = table(["rows start from", "rows"], list(facts.sources.items()))
    asked = f"Ledger digest: `{build.ledger_digest}`; latest answer {build.answered_on}."
    answers = f"{asked}\n\n" if build.calls else ""
    settings = json.dumps(build.settings, ensure_ascii=False, indent=2, sort_keys=True)
    return (
        f"## How it was made\n\n{prompts}\n\nInputs:{inputs or ' none named by the builder.'}\n\n{sources}\n\n{answers}```json\n{settings}\n```\n\nThe provenance of every row names its teacher and ledger keys, and "
        "the prompts, source and filters as far as the builder named them."
    )


def _use(facts: DatasetFacts) -> str:
    license = facts.build.license or "not stated; such rows are not pushed"
    use = "\n".join(f"- {line}" for line in INTENDED_USE)
    limits = "\n".join(f"- {line}" for line in limits_of(facts))
    return f"## Intended use\n\n{use}\n\n## Limits\n\n{limits}\n\n## Licence\n\n{license}"
