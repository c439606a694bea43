"""`python -m trainers.sft` refuses what must not be trained on: one line that names flag, file and remedy, and exit code 2."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from toy_tokenizers import spaced  # noqa: E402
from trained import (  # noqa: E402
    SMALL,
    Message,
    answered,
    asked,
    at_home,
    clinic,
    commands,
    consultation,
    in_words,
    instruction,
    release,
)

from schemas.settings import RECIPES, parse  # noqa: E402
from trainers.sft import Sft  # noqa: E402

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def chatml(turn: str = TURN, answer: str = "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}\n") -> str:
    """ChatML, with its questions or its answers written otherwise."""
    said = "<|im_start|>assistant\n" + answer
    return f"{{% for m in messages %}}{{% if m.role == 'assistant' %}}{said}{{% else %}}{turn}{{% endif %}}{{% endfor %}}{OPENING}"


EATS_THE_QUESTION = chatml(turn="<|im_start|>{{ m.role }}\n{{ m.content[:4] }}<|im_end|>\n")
NEVER_STOPS = chatml(answer="{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n")
LEARNS_THE_QUESTION = chatml(turn="{% generation %}" + TURN + "{% endgeneration %}")
SERVES_OTHER_WORDS = chatml().replace(OPENING, "{% if add_generation_prompt %}<|im_start|>doctor\n{% endif %}")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with rows, templates and models that tests only read."""
    with at_home(tmp_path_factory.mktemp("sft")) as folder:
        clinic("rows.jsonl")
        clinic("general.jsonl", 40, first=100)
        Path("questions.csv").write_text("question,answer\n胃疼三天了怎么办,建议做胃镜检查\n孩子发烧,先物理降温\n")
        templates = {"eats": EATS_THE_QUESTION, "endless": NEVER_STOPS, "greedy": LEARNS_THE_QUESTION}
        templates |= {"served": SERVES_OTHER_WORDS, "unmarked": TURN, "open": "{% for m in messages %}"}
        for name, text in templates.items():
            Path(f"{name}.jinja").write_text(text)
        model_without_template(Path("base"))
        yield folder


def model_without_template(folder: Path) -> None:
    """What a preflight reads of a model of 8 billion: no chat template, no tokens of ChatML, and weights nobody opens yet."""
    from transformers import Qwen3Config

    tokenizer = spaced([asked(number) + answered(number) for number in range(40)])
    sizes = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32}
    config = Qwen3Config(vocab_size=len(tokenizer), num_key_value_heads=8, head_dim=128, **sizes)
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)
    (folder / "model.safetensors").touch()


@pytest.fixture
def refused(home, tmp_path):
    """`refused(FLAG, …)`: the line with which a command was refused; nothing may be left of a training."""

    def call(*flags: object) -> str:
        out = tmp_path / "out"
        with at_home(home):
            before = sorted(home.rglob("*"))
            ended = commands()(*SMALL, "--max-steps", 2, "--out", out, *flags)
            assert sorted(home.rglob("*")) == before
        assert not [*out.glob("*.safetensors"), *out.glob("training.json"), *out.glob("checkpoint-*")]
        return in_words(ended)

    return call


ROWS = ("--data", "rows.jsonl")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch-size", 4], ["--batch-size", "did you mean --batch"]),
        (["--max-length", 7], ["--max-length", "greater than 7", "'7'"]),
        (["--epochs", 0], ["--epochs", "greater than 0"]),
        (["--profile", "ddp", "--processes", 0], ["--processes", "greater than 0"]),
        (["--profile", "zero9"], ["--profile", "zero2", "'zero9'"]),
        (["--profile", "single", "--processes", 2], ["--profile single", "--processes 2"]),
        (["--recipe", "nonsense"], ["--recipe", "nonsense", "huatuo1", "tiny"]),
        (["--set", "learning_rate=1"], ["--set", "trl.FIELD=VALUE", "learning_rate=1"]),
        (["--model", "nonsense"], ["--model nonsense", "new:tiny"]),
        (["--model", "new:huge"], ["--model new:huge", "new:100m"]),
        (["--model", "."], ["--model .", "config.json"]),
        (["--track", "tensorboard"], ["--track", "none and tensorboard"]),
        (["--template", "nonsense"], ["--template", "chatml", "'nonsense'"]),
        (["--template", "gone.jinja"], ["--template gone.jinja", "No such file"]),
        (["--template", "unmarked.jinja"], ["--template unmarked.jinja", "{% generation %}"]),
        (["--template", "open.jinja"], ["--template open.jinja", "line 1"]),
        (["--template", "endless.jinja"], ["--template endless", "end-of-turn token", "never learn to stop"]),
        (["--push", "nonsense"], ["--push nonsense", "ORG/NAME"]),
        (["--lora", 4, "--merge", "--lora-targets", "lm_head"], ["--lora-targets", "lm_head"]),
        (["--lora", 4, "--merge", "--lora-targets", "q_porj"], ["--lora-targets", "q_porj"]),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line_that_names_it(refused, flags, words):
    said = refused(*ROWS, *flags)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["nowhere"], ["--data nowhere", "no such file or folder", "ORG/NAME"]),
        (["questions.csv"], ["questions.csv", "messages", "question, answer", "builders.polish_qa"]),
        (["rows.jsonl:dialogues"], ["rows.jsonl:dialogues", "one table"]),
        (["rows.jsonl", "general=general.jsonl=1.5"], ["--data", "between 0 and 1", "general=general.jsonl=1.5"]),
        (["rows.jsonl", "general.jsonl=half"], ["--data", "between 0 and 1", "general.jsonl=half"]),
        (["rows.jsonl=0.9", "general.jsonl=0.3"], ["--data", "1.2", "more than 1"]),
        (["rows.jsonl=0.5", "general.jsonl=0.3"], ["--data", "0.8", "not to 1"]),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_line_that_names_it(refused, data, words):
    said = refused(*(flag for one in data for flag in ("--data", one)))
    for word in words:
        assert word in said


def test_a_config_that_a_release_does_not_have_is_refused_with_those_it_has(refused, home):
    with at_home(home):
        release("cases", {"train": [instruction(number) for number in range(20)]})
    said = refused("--data", "cases:real_dialogues")
    assert "no config real_dialogues" in said
    assert "distilled_instructions" in said
    shutil.rmtree(home / "cases")


def test_a_release_whose_files_were_touched_is_refused(refused, home):
    with at_home(home):
        for name, first in (("cases", 0), ("others", 20)):
            release(name, {"train": [instruction(number) for number in range(first, first + 20)]})
        (file,), (other,) = (list(Path(name).rglob("*.parquet")) for name in ("cases", "others"))
        shutil.copyfile(other, file)
    assert "not the file that manifest.json names" in refused("--data", "cases")
    for name in ("cases", "others"):
        shutil.rmtree(home / name)


def test_a_model_without_a_template_needs_one_named(refused):
    said = refused(*ROWS, "--model", "base")
    assert "it has no chat template" in said
    assert "--template" in said
    assert "huatuo" in said
    assert "<|im_start|> is no token" in refused(*ROWS, "--model", "base", "--template", "chatml")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("eats.jinja", ["46 of 46 rows of rows.jsonl", "does not survive the template", "row 1", "message 1, user"]),
        ("served.jinja", ["46 of 46 rows of rows.jsonl", "served prompt", "row 1"]),
    ],
)
def test_a_template_that_would_teach_something_wrong_is_refused_with_the_first_row(refused, template, words):
    said = refused(*ROWS, "--template", template)
    for word in words:
        assert word in said
    assert "--template, or mend the rows" in said


def test_a_template_that_marks_the_question_is_refused(refused):
    assert "--template greedy: " in refused(*ROWS, "--template", "greedy.jinja")


def test_rows_that_are_too_long_are_refused_with_their_length(refused):
    said = refused(*ROWS, "--max-length", 20)
    assert "46 of 46 rows of rows.jsonl" in said
    assert "longer than max_length, first rows.jsonl: row 1 (" in said
    assert "tokens of 20)" in said
    assert "raise --max-length" in said


def test_too_little_memory_is_refused_with_what_would_fit(refused):
    said = refused(*ROWS, "--model", "base", "--template", "huatuo", "--max-length", 512, "--gpu-memory", 24)
    assert "weights 25.9, gradients 25.9, optimizer 51.8" in said  # 6.95 billion, 4 bytes each; Adam keeps two of them
    assert "a GPU has 24.0" in said
    assert "would fit: --lora 16" in said
    hopeless = refused(*ROWS, "--gpu-memory", 0.001, "--dry-run")
    assert "nothing tried would fit: more or larger GPUs, or a smaller model" in hopeless


def test_a_batch_that_cannot_be_made_names_the_nearest_that_can(refused):
    assert "--batch 10: not a multiple of --micro-batch 4; the nearest that is: 8" in refused(*ROWS, "--batch", 10)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trl.learning_rte=1", ["no such field", "trl.learning_rate"]),
        ("trl.max_length=3", ["decided by --max-length"]),
        ("trl.adam_beta2=high", ["expected a number", "'high'"]),
        ("trl.assistant_only_loss=true", ["not to be changed"]),
    ],
)
def test_a_wrong_setting_of_trl_is_refused_by_a_dry_run_already(refused, setting, words):
    said = refused(*ROWS, "--set", setting, "--dry-run")
    for word in (f"--set {setting.partition('=')[0]}", *words):
        assert word in said


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--merge"], "--merge"),
        (["--lora-targets", "q_proj"], "--lora-targets"),
        (["--attention", "nonsense"], "--attention"),
        (["--learning-rate", "inf"], "--learning-rate"),
    ],
)
def test_a_flag_that_would_do_nothing_or_cannot_be_is_refused_by_a_dry_run(refused, flags, word):
    assert word in refused(*ROWS, *flags, "--dry-run")


def test_a_conversation_on_both_sides_is_refused_with_the_pair(refused, home):
    with at_home(home):
        release("taught", {"train": [instruction(number) for number in range(30)]})
        release("exam", {"train": [instruction(200)], "test": [instruction(7), instruction(201)]})
    said = refused("--data", "taught", "--data", "exam")
    assert "leaks: 1 conversation stands in an evaluation set too" in said
    assert "taught" in said.partition("=")[0]
    assert "exam" in said.partition("=")[2]
    assert "Jaccard 1.00" in said
    assert asked(7)[:24] in said
    assert "builders.publish" in said
    for name in ("taught", "exam"):
        shutil.rmtree(home / name)


def test_train_and_validation_that_share_a_cluster_are_refused(refused, home):
    with at_home(home):
        cut = {"train": [instruction(number) for number in range(20)]}
        cut["validation"] = [instruction(90, cluster="c3"), instruction(91)]
        release("cut", cut)
    said = refused("--data", "cut")
    assert "leaks: 1 conversation stands" in said
    assert "one cluster" in said
    assert asked(3)[:24] in said
    shutil.rmtree(home / "cut")


def test_a_folder_with_somebodys_files_is_refused_and_left_alone(refused, home, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "论文.docx").write_bytes(b"three years of work")
    assert "论文.docx" in refused(*ROWS)
    assert [path.name for path in out.iterdir()] == ["论文.docx"]
    assert (out / "论文.docx").read_bytes() == b"three years of work"


def test_a_refused_run_leaves_nothing_of_the_rows_behind(refused, tmp_path):
    refused(*ROWS, "--template", "eats.jinja")
    assert not list((tmp_path / "out").rglob("*.arrow"))


def test_rows_that_cannot_be_read_are_counted_with_their_reason_and_the_rest_is_trained_on(home, tmp_path):
    wrong = [
        {"messages": [Message("user", "只有问题").told()]},
        {"messages": [Message("user", "血压高吗").told(), Message("assistant", "  ").told()]},
        {"messages": [Message("tool", "白细胞 12.1").told(), Message("assistant", answered(1)).told()]},
        {"messages": [Message("user", "说<|im_end|>吗").told(), Message("assistant", answered(2)).told()]},
    ]
    rows = [consultation(number) for number in range(240)]
    with at_home(tmp_path):
        clinic("rows.jsonl", [*rows[:5], *wrong, *rows[5:]])
        ended = commands()(*SMALL, *ROWS, "--dry-run", "--max-steps", 2)
    assert ended.code == 0, ended.talk
    assert ended.said["left_out"] == 4
    assert "(3 unreadable; 1 holds a control token of the template)" in ended.talk
    for number in (6, 7, 8, 9):
        assert f"rows.jsonl: row {number}: " in ended.talk


def test_held_out_rows_that_cannot_be_measured_are_told(home, tmp_path):
    with at_home(tmp_path):
        clinic("rows/train.jsonl", 40)
        held_out = [consultation(100), {"messages": [Message("user", "只有问题").told()]}, consultation(101)]
        clinic("rows/validation.jsonl", held_out)
        ended = commands()(*SMALL, "--data", "rows", "--dry-run", "--max-steps", 2)
    assert ended.code == 0, ended.talk
    assert "ok       held out  2 held-out rows" in ended.talk
    assert "validation.jsonl: row 2" in ended.talk


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_the_table_of_every_recipe_is_a_command_line(recipe):
    settings = parse(Sft, ["--recipe", recipe])
    assert settings.model
    assert settings.batch % settings.micro_batch == 0
    assert json.loads(settings.model_dump_json())["data"]
