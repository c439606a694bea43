"""The parts of a model card, each from the facts alone."""

import math
from typing import Any

from cards.dataset_card import table
from cards.licenses import ASKS, Verdict, combined, kind_of
from cards.model_facts import Curve, Measured, ModelFacts, TrainedOn
from cards.words import CHINESE, INTENDED_USE

PICTURE = "curves.svg"
"""Lies beside the card."""
FORGOT = 0.05
"""A general loss that rises by more than this share is called forgetting."""
NAMES = {
    "learning_rate": "peak learning rate",
    "warmup": "warm-up, share of the steps",
    "batch": "sequences a step",
    "micro_batch": "sequences a process takes at once",
    "set": "told to TRL besides",
}
"""Settings whose own names would not say what they are."""
TOLD = frozenset({"model", "data", "template", "max_length", "lora"})
"""Settings that the card tells in another place."""
OF_A_MACHINE = frozenset(
    {"recipe", "out", "processes", "gpu_memory", "keep", "resume", "track", "dry_run", "push", "public"}
)
"""Settings of a machine and a day; they change no weight."""
INTENDED_USE_OF_MODELS = (
    "Research on medical language models: how they are trained, what they get right, where they fail.",
    INTENDED_USE[1],
)
LIMITS = (
    "What it says is text by a language model, and no physician checked it. Diseases, drugs, doses and indications can be "
    "wrong, out of date or invented, and nothing in the wording shows it.",
    "It sees no patient: it asks too little, and it misses emergencies. Whoever is ill needs a doctor.",
    "The figures above say how well it imitates such conversations, not whether what it says is true; a medical examination "
    "or a judgement by physicians is not part of them.",
    CHINESE,
)


def trained_on(facts: ModelFacts) -> str:
    """A line per data set."""
    head = [
        "data set",
        "revision",
        "version",
        "configs",
        "rows",
        "share",
        "answer tokens",
        "licences of its rows",
        "general",
    ]
    lines = [
        (
            linked(one.name, "https://huggingface.co/datasets/", on_hub=one.on_hub),
            f"`{one.revision}`",
            one.version,
            ", ".join(one.configs),
            one.rows,
            f"{one.share:.1%}",
            one.answer_tokens,
            _licenses(one),
            "yes" if one.general else "",
        )
        for one in facts.data
    ]  # fmt: skip
    told = f"## Trained on\n\nRows of one pass; one that is repeated in it counts as often.\n\n{table(head, lines)}"
    if facts.earlier_data:
        told += f"\n\nIts base had learnt before from {', '.join(f'`{name}`' for name in facts.earlier_data)}."
    return told


def _licenses(one: TrainedOn) -> str:
    return ", ".join(f"{license or 'none stated'} {rows:,}" for license, rows in one.licenses.items())


def left_out(facts: ModelFacts) -> str:
    """Rows that were not trained on, by reason, most first; those that no share drew and no step came to as well."""
    reasons = sorted(facts.left_out.items(), key=lambda reason: -reason[1])
    told = [
        f"{sum(facts.left_out.values()):,} rows were read and not trained on.\n\n{table(['reason', 'rows'], reasons)}"
    ]
    told = told * bool(reasons) or ["No row that was read was unfit."]
    told += [f"{facts.not_drawn:,} more had no place in the shares of the mixture."] * bool(facts.not_drawn)
    told += ["The steps end before the first pass does: not all rows above were seen."] * (0 < facts.passes < 1)
    return "\n\n".join(["## Left out", *told])


def recipe(facts: ModelFacts) -> str:
    """The settings that change what is learnt."""
    steps = f"{facts.steps:,}" if facts.finished else f"{facts.steps_done:,} of {facts.steps:,}"
    rank = facts.settings.get("lora")
    where = "an adapter" if facts.adapter else "merged into the weights"
    weights = f"LoRA of rank {rank}, {where}" if rank else "all weights"
    counted = {"epochs"} if facts.passes else set()  # what was asked for is not what --max-steps leaves of it
    lines = [
        ("optimizer steps", steps),
        *[("passes over the data", f"{facts.passes:.3g}")] * bool(facts.passes),
        ("chat template", facts.template),
        ("longest conversation", f"{facts.max_length:,} tokens"),
        ("trained", weights),
        *(
            (NAMES.get(name, name.replace("_", " ")), _value(value))
            for name, value in facts.settings.items()
            if name not in TOLD | OF_A_MACHINE | counted and value not in (None, [], (), "")
        ),
    ]
    return f"## How\n\n{table(['setting', 'value'], lines)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def curves(facts: ModelFacts) -> str:
    """The picture beside the card, and where each curve begins and ends."""
    drawn = [curve for curve in facts.curves if curve.points]
    if not drawn:
        return ""
    names = ", ".join(curve.words for curve in drawn)
    head = ["curve", "first (step)", "last (step)", "lowest (step)", "points"]
    return f"## Curves\n\n![{names} over optimizer steps]({PICTURE})\n\n{table(head, list(map(_ends, drawn)))}"


def _ends(curve: Curve) -> tuple[str, str, str, str, int]:
    finite = [point for point in curve.points if math.isfinite(point[1])]
    lowest = min(finite, key=lambda point: point[1], default=curve.points[0])
    first, last, low = (f"{_short(value)} ({step:,})" for step, value in (curve.points[0], curve.points[-1], lowest))
    return curve.words, first, last, low, len(curve.points)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def measured(facts: ModelFacts) -> str:
    """Figures before and after training, and what they say about forgetting."""
    if not facts.measured:
        return "## Measured\n\nNothing was measured on held-out rows."
    head = ["figure", "before", "after", "change", "perplexity before", "perplexity after", "rows", "measured on"]
    lines = [
        (
            one.words,
            _short(one.before),
            _short(one.after),
            "" if one.change is None else f"{one.change:+.1%}",
            _perplexity(one, one.before),
            _perplexity(one, one.after),
            one.rows,
            one.on,
        )
        for one in facts.measured
    ]
    told = "Losses are means per answer token, in nats; a perplexity is e to the loss."
    return f"## Measured\n\n{told}\n\n{table(head, lines)}\n\n{_forgetting(facts)}"


def _perplexity(one: Measured, loss: float | None) -> str:
    return "" if loss is None or not one.is_loss else _short(math.exp(min(loss, 700.0)))


def _forgetting(facts: ModelFacts) -> str:
    if facts.made_here:
        return "It began with random weights: there was nothing to forget."
    probes = [one for one in facts.measured if one.general]
    told = [
        f"{'**It forgot**: on' if change > FORGOT else 'Little or nothing was forgotten: on'} {one.rows:,} general rows the loss "
        f"{'rose' if change > 0 else 'fell'} by {abs(change):.1%}."
        for one in probes
        if (change := one.change) is not None
    ]
    return " ".join(told) or "What it forgot of its general abilities was not measured."


def linked(name: str, address: str, *, on_hub: bool) -> str:
    """A name with its page on the Hub, when it has one."""
    return f"[{name}]({address}{name})" if on_hub else f"`{name}`"


def preflight(facts: ModelFacts) -> str:
    """What was checked before the first step."""
    if not facts.preflight:
        return ""
    return f"## Checked before training\n\n{table(['check', 'found'], facts.preflight)}"


def machine(facts: ModelFacts) -> str:
    """What computed it, how long, and with which packages."""
    lines = [("hardware", facts.hardware), ("profile", facts.profile)]
    lines += [("time", f"{facts.seconds:,.0f} s")] * bool(facts.seconds)
    lines += [("speed", f"{facts.tokens_per_second:,.0f} tokens/s")] * bool(facts.tokens_per_second)
    return f"## Made with\n\n{table(['', ''], [*lines, *facts.versions.items()])}"


def use(facts: ModelFacts) -> str:
    """What it is for, what it is not for, and where it fails."""
    lists = "\n".join(f"- {line}" for line in INTENDED_USE_OF_MODELS)
    limits = "\n".join(f"- {line}" for line in (*limits_of(facts), *LIMITS))
    return f"## Intended use\n\n{lists}\n\n## Limits\n\n{limits}"


def limits_of(facts: ModelFacts) -> tuple[str, ...]:
    """What follows from these facts in particular."""
    probes = [one for one in facts.measured if one.general]
    worse = any((one.change or 0.0) > FORGOT for one in probes)
    earlier = ", ".join(facts.earlier_data)
    said = [
        ("It learnt from rehearsal rows: what it says about medicine comes from templates.", facts.rehearsal),
        ("It began with random weights: it knows nothing but the rows above, not even the language.", facts.made_here),
        (f"It learnt from one data set, {facts.data[0].name}, and has its habits and gaps.", len(facts.data) == 1),
        ("No rows were held out: whether it learnt or memorized was not measured.", len(probes) == len(facts.measured)),
        (f"The loss on general rows rose by more than {FORGOT:.0%}: it lost general abilities of its base.", worse),
        ("No general rows were among those it learnt from.", not any(one.general for one in facts.data)),
        (f"What its base learnt from before ({earlier}) shows in it as well; see the cards of those.", bool(earlier)),
        ("Not all its inputs state a licence.", any(kind_of(license) == "unknown" for _, license, _ in inputs(facts))),
    ]
    return tuple(limit for limit, holds in said if holds)


def inputs(facts: ModelFacts) -> list[tuple[str, str, int | None]]:
    """What it was made from, the licence each states, and how many rows do."""
    base = [] if facts.made_here else [(facts.base, facts.base_license, None)]
    rows = [(one.name, license, rows) for one in facts.data for license, rows in one.licenses.items()]
    unstated = [(one.name, "", one.rows) for one in facts.data if not one.licenses]
    return [*base, *rows, *unstated]


def license_of(facts: ModelFacts) -> Verdict:
    """The licence that follows from the base and the rows."""
    licenses = [license for _, license, _ in inputs(facts)]
    return combined(None, licenses) if facts.made_here else combined(licenses[0], licenses[1:])


def licence(facts: ModelFacts) -> str:
    """What was combined, and how the result follows."""
    verdict = license_of(facts)
    called = f"`{verdict.license}`" + (f" ({verdict.name})" if verdict.name else "")
    open_question = (
        "> **Not settled.** Whether and how this model may be passed on has to be decided by somebody who reads the "
        "licences below."
    )
    lines = [
        (name, license or "none stated", "weights" if rows is None else f"{rows:,} rows", ASKS[kind_of(license)])
        for name, license, rows in inputs(facts)
    ]
    parts = [
        "## Licence",
        *([] if verdict.settled else [open_question]),
        f"{called}. {' '.join(verdict.why)}",
        table(["made from", "states", "of", "which asks for"], lines),
        "The ids were compared, not the texts; this is no legal advice. Services and models that wrote rows can have terms "
        "of their own for what is trained on their words: the cards of the data sets name them.",
    ]
    return "\n\n".join(parts)
