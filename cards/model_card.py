"""A model card: YAML the Hub understands, what the model learnt from, what was measured on it, and what it is not for.

card = model_card(facts, held=path.read_text())        # what people wrote into the card that stands there is kept
"""

import re
import shlex
from typing import Any

from cards.handwritten import handwritten, with_handwritten, wrapped
from cards.licenses import kind_of
from cards.model_facts import ModelFacts
from cards.model_sections import (
    OF_A_MACHINE,
    curves,
    left_out,
    licence,
    license_of,
    linked,
    machine,
    measured,
    preflight,
    recipe,
    trained_on,
    use,
)
from schemas.train_settings import GENERAL, TrainSettings, data_choice

KEYS = frozenset(
    [
        *("language", "license", "license_name", "license_link", "base_model", "base_model_relation", "datasets"),
        *("tags", "pipeline_tag", "library_name"),
    ]
)
"""YAML keys that are written anew with every card; all others, e.g. the results of an evaluation, are people's."""
FOLDERS = re.compile(r"(?<![\w./])~?/(?:[^\s/=:,@`|]+/)+|\b[A-Za-z]:\\(?:[^\s\\`|]+\\)*")
"""The folders of an absolute path: where things lie on a machine is nobody else's business."""


HOW = {"sft": "fine-tuned on conversations: it learnt to say what the assistant says in them"}
"""What a trainer does, in words."""
EXAMPLE = "我最近总是反酸，饭后胃胀，该怎么办？"


def model_card(facts: ModelFacts, *, held: str | None = None) -> str:
    """The README.md of a model; what people wrote into the `held` card stays. A ValueError when that one is broken."""
    sections = [
        _head(facts),
        _talk(facts),
        trained_on(facts),
        left_out(facts),
        recipe(facts),
        curves(facts),
        measured(facts),
        preflight(facts),
        machine(facts),
        use(facts),
        licence(facts),
        _again(facts),
    ]
    body = without_folders("\n\n".join(section for section in sections if section))
    card = f"---\n{metadata(facts)}---\n\n{wrapped(body)}"
    if held is None:
        return card
    theirs, ours = handwritten(held), handwritten(card).keys
    own = {name: value for name, value in theirs.keys.items() if name not in KEYS}
    return with_handwritten(card, theirs._replace(keys=ours | own))


def without_folders(text: str) -> str:
    """The text with the folders of absolute paths taken out; the names of files stay."""
    return FOLDERS.sub("", text)


def metadata(facts: ModelFacts) -> str:
    """The YAML block, written by huggingface_hub's own card classes. Losses stay in the text: they are no benchmark."""
    from huggingface_hub import ModelCardData

    verdict = license_of(facts)
    of_base = facts.base_on_hub and kind_of(facts.base_license) in ("own terms", "research only")
    relation = "adapter" if facts.adapter else "finetune"
    data = ModelCardData(
        language=["zh"],
        license=verdict.license,
        license_name=verdict.name or None,
        license_link=f"https://huggingface.co/{facts.base}" if verdict.name and of_base else None,
        base_model=facts.base if facts.base_on_hub else None,
        base_model_relation=relation if facts.base_on_hub else None,
        datasets=list(dict.fromkeys(one.name for one in facts.data if one.on_hub)) or None,
        tags=["medical", "suwen", facts.trainer, *["lora"] * facts.adapter, *["rehearsal"] * facts.rehearsal],
        pipeline_tag="text-generation",
        library_name="peft" if facts.adapter else "transformers",
    )
    return str(data.to_yaml()).rstrip() + "\n"


def _head(facts: ModelFacts) -> str:
    """Title, banners, and what it is in one paragraph."""
    unfinished = f"> **Unfinished.** {facts.steps_done:,} of {facts.steps:,} steps are done; what follows is of a model on its way."
    rehearsal = (
        "> **Rehearsal.** It learnt from rehearsal rows: templates to practise with, no medicine. It must not be used for "
        "anything but trying the tools, and must not be published."
    )
    banners = [unfinished] * (not facts.finished) + [rehearsal] * facts.rehearsal
    mind = [f"> **Mind:** {warning}" for warning in facts.warnings]
    return "\n\n".join([f"# {facts.name}", *banners, *mind, _what_it_is(facts)])


def _what_it_is(facts: ModelFacts) -> str:
    base = _base(facts)
    shape = f" ({facts.architecture})" if facts.architecture else ""
    subject = f"A LoRA adapter for {base}" if facts.adapter else base[0].upper() + base[1:]
    rows, answers = sum(one.rows for one in facts.data), sum(one.answer_tokens for one in facts.data)
    many = "one data set" if len(facts.data) == 1 else f"{len(facts.data)} data sets"
    trained = f"{facts.trained_parameters:,} of {facts.parameters:,} parameters were trained"
    if facts.trained_parameters == facts.parameters:
        trained = f"All {facts.parameters:,} parameters were trained"
    return (
        f"{subject}{shape}, {HOW.get(facts.trainer, f'trained with `{facts.trainer}`')}. {rows:,} rows of {many} with "
        f"{answers:,} answer tokens{_passes(facts)}. {trained}."
    )


def _passes(facts: ModelFacts) -> str:
    """How often the steps come to each row; they may end within the first pass."""
    if not facts.passes:
        return ""
    steps, seen = f"{facts.steps:,} step{'s' * (facts.steps != 1)}", f"{facts.sequences_seen:,} sequences"
    return f" are one pass; {steps} see {seen}, {facts.passes:.3g} passes"


def _base(facts: ModelFacts) -> str:
    if facts.made_here:
        return f"a model made on the spot with random weights (`{facts.base}`)"
    at = f" at revision `{facts.base_revision}`" if facts.base_revision else ""
    return f"{linked(facts.base, 'https://huggingface.co/', on_hub=facts.base_on_hub)}{at}"


def _talk(facts: ModelFacts) -> str:
    """How to talk to it."""
    template = f"The chat template `{facts.template}` is in the tokenizer and is applied to the messages."
    model = 'model="PATH_OR_REPO"'
    lines = ["from transformers import pipeline", "", f'chat = pipeline("text-generation", {model})']
    if facts.adapter and facts.base_on_hub:
        template += " The base is fetched along with the adapter; `pip install peft` first."
    elif facts.adapter:
        where = "is `.run/base` in the folder of the training" if facts.made_here else "is not on the Hub"
        template += f" The base {where}: give its folder; `pip install peft` first."
        lines = [
            "from peft import PeftModel",
            "from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline",
            "",
            f'base = AutoModelForCausalLM.from_pretrained("FOLDER_OF_THE_BASE")  # {facts.base}',
            'model = PeftModel.from_pretrained(base, "PATH_OR_REPO")',
            'tokenizer = AutoTokenizer.from_pretrained("PATH_OR_REPO")',
            'chat = pipeline("text-generation", model=model, tokenizer=tokenizer)',
        ]
    lines += [
        f'said = chat([{{"role": "user", "content": "{EXAMPLE}"}}], max_new_tokens=512)',
        'print(said[0]["generated_text"][-1]["content"])',
    ]
    code = "\n".join(lines)
    return f"## Talk to it\n\n{template}\n\n```python\n{code}\n```"


def _again(facts: ModelFacts) -> str:
    """The command that trains it again; revisions on the Hub are pinned to those that were read."""
    settings = {name: value for name, value in facts.settings.items() if name not in OF_A_MACHINE | {"model", "data"}}
    model = f"{facts.base}@{facts.base_revision}" if facts.base_on_hub and facts.base_revision else facts.base
    flags = [("--model", model), *(("--data", value) for value in _pinned(facts))]
    flags += [flag for name, value in settings.items() if value != _default(name) for flag in _flags(name, value)]
    words = [f"python -m trainers.{facts.trainer}", *(" ".join(map(shlex.quote, filter(None, flag))) for flag in flags)]
    command = " \\\n  ".join(words)
    return (
        f"## Train it again\n\n```bash\n{command}\n```\n\nNames without an owner are folders and files: put your own paths. "
        "All settings and SHA-256 sums are in `training.json`."
    )


def _pinned(facts: ModelFacts) -> list[str]:
    """Every --data as it was given, with the revision that was read; the facts have the same order."""
    pinned, sets = [], iter(facts.data)
    for value in facts.settings.get("data", ()):
        choice, read = data_choice(value), next(sets, None)
        there = read is not None and read.on_hub and read.name == choice.where
        exact = choice.model_copy(update={"revision": read.revision}) if read and there else choice
        pinned.append(f"{GENERAL * choice.general}{exact}{'' if choice.share is None else f'={choice.share:g}'}")
    return pinned


def _default(name: str) -> Any:
    """What a shared setting is when nobody says anything, as JSON has it; nothing is assumed of the others."""
    field = TrainSettings.model_fields.get(name)
    default = None if field is None else field.default
    return list(default) if isinstance(default, tuple) else default


def _flags(name: str, value: Any) -> list[tuple[str, str]]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [(flag, "")] * value
    return [(flag, str(one)) for one in (value if isinstance(value, list | tuple) else [value])]
