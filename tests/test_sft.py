"""`python -m trainers.sft` from rows to a model folder: what it learns, what it says of itself, and what it leaves."""

import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import ROOT, Outcome  # noqa: E402
from folders import files_of  # noqa: E402
from hub_server import client_env, running_hub  # noqa: E402
from trained import (  # noqa: E402
    SMALL,
    Message,
    answered,
    asked,
    at_home,
    clinic,
    cold,
    commands,
    consultation,
    instruction,
    release,
    told,
    weights,
)

FIGURES = {"steps", "rows", "answer_tokens", "left_out", "loss", "held_out", "seconds", "tokens_per_second", "profile"}
FIGURES |= {"processes", "fingerprint", "path"}
"""What the last line holds."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
REPO = "clinic/doctor"


class Trained(NamedTuple):
    """A command and what it left."""

    ended: Outcome
    out: Path
    flags: tuple[object, ...]

    @property
    def card(self) -> str:
        """README.md."""
        return (self.out / "README.md").read_text(encoding="utf-8")


def train(out: Path, *flags: object) -> Trained:
    """A run that must end well."""
    ended = commands()(*SMALL, *flags, "--out", out)
    assert ended.code == 0, ended.talk
    return Trained(ended, out, (*SMALL, *flags, "--out", out))


def multi_turn(number: int) -> dict[str, Any]:
    """Four turns under a system message."""
    said = [
        Message("system", "你是一名耐心的门诊医生。"),
        Message("user", asked(number)),
        Message("assistant", f"请问以前做过检查吗？编号{number}。"),
        Message("user", f"第{number}回了，还没有做过。"),
        Message("assistant", answered(number)),
    ]
    return {"messages": [one.told() for one in said]}


def answers(row: dict[str, Any]) -> str:
    """What the model is to write, end-of-turn tokens included."""
    return "".join(f"{said['content']}<|im_end|>" for said in row["messages"] if said["role"] == "assistant")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """A folder for all runs of this file."""
    with at_home(tmp_path_factory.mktemp("门诊")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def _own_folder(home, monkeypatch) -> None:
    """Every test works in the folder of this file, with no key in its environment."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture(scope="module")
def doctor(home) -> Trained:
    """Six steps over 60 rows, one in five of them of several turns; data and OUT named by absolute paths."""
    rows = [multi_turn(number) if number % 5 == 0 else consultation(number) for number in range(60)]
    data = clinic(str(home / "data" / "rows.jsonl"), rows)
    return train(home / "models" / "doctor", "--data", data, "--max-steps", 6, "--save-every", 3)


def test_the_loss_falls_on_what_it_learns_from_and_on_what_was_held_out(doctor):
    losses = curve(doctor, "loss")
    assert [step for step, _ in losses] == [1, 2, 3, 4, 5, 6]
    assert losses[-1][1] < losses[0][1] - 1
    held_out = doctor.ended.said["held_out"]["held_out"]
    assert held_out["after"] < held_out["before"] - 1
    assert held_out["before"] == pytest.approx(math.log(json_of(doctor, "config.json")["vocab_size"]), abs=0.5)


def test_the_last_line_is_the_promised_json_and_the_only_one(doctor):
    said = doctor.ended.said
    assert set(said) == FIGURES
    assert (said["steps"], said["left_out"], said["profile"], said["processes"]) == (6, 0, "single", 1)
    assert said["path"] == str(doctor.out)
    assert said["loss"] == curve(doctor, "loss")[-1][1]
    assert said["rows"] == 60 - held_out_rows(doctor)
    assert said["tokens_per_second"] > 0
    assert re.fullmatch("[0-9a-f]{64}", said["fingerprint"])
    assert told(doctor.out)["figures"] == {name: value for name, value in said.items() if name != "path"}


def test_a_step_uses_the_cosine_of_its_number_and_what_follows_the_last_is_zero(doctor):
    peak = 4e-3
    rates = [rate for _, rate in curve(doctor, "learning_rate")]
    # 5 % of 6 steps are none: the first step has the peak, the sixth (1 + cos 150°) / 2 = 0.067 of it, a seventh had none
    assert rates == pytest.approx([peak * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)])
    schedule = torch.load(doctor.out / "checkpoint-6" / "scheduler.pt", weights_only=True)
    assert schedule["_last_lr"] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_the_folder_is_a_whole_model_that_answers_and_stops(doctor):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(doctor.out)
    model = AutoModelForCausalLM.from_pretrained(doctor.out)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.generation_config.eos_token_id in (end, [end])
    assert tokenizer.eos_token_id == end
    assert model.config.use_cache is True
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": asked(3)}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    assert tokenizer.decode(prompt["input_ids"][0]).endswith("<|im_start|>assistant\n")
    assert model.generate(**prompt, max_new_tokens=4, do_sample=False).shape[1] <= prompt["input_ids"].shape[1] + 4


def test_training_json_names_every_file_with_its_hash(doctor):
    files = {path.name: path.read_bytes() for path in doctor.out.iterdir() if path.is_file()}
    named = told(doctor.out)["files"]
    assert set(files) == {*named, "training.json"}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(named)
    assert {"tokenizer_config.json", "chat_template.jinja", "README.md", "curves.svg"} <= set(named)
    for name, entry in named.items():
        assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(files[name]).hexdigest(), len(files[name]))


def test_no_pickle_and_no_path_of_this_machine_is_in_the_folder(doctor, home):
    assert not [path for path in doctor.out.iterdir() if path.suffix in PICKLES]
    assert not list(doctor.out.rglob("training_args.bin"))
    pushed_or_read = [path for path in doctor.out.iterdir() if path.is_file()]
    pushed_or_read += [path for path in doctor.out.glob("checkpoint-*/*") if path.suffix in (".json", ".md", ".jinja")]
    assert len(pushed_or_read) > 12
    for path in pushed_or_read:
        content = path.read_bytes()
        for part in (str(home), str(ROOT), "/tmp/", home.name):
            assert part.encode() not in content, f"{path} holds {part}"


def test_nothing_of_the_rows_is_kept_beside_the_model(doctor):
    assert not [*doctor.out.rglob("*.arrow"), *doctor.out.rglob("*.npy")]
    for path in doctor.out.rglob("*"):
        if path.is_file() and path.name != "tokenizer.json":
            assert "编号17".encode() not in path.read_bytes(), path


def test_the_card_is_ours_and_says_what_happened(doctor):
    card = doctor.card
    assert card.startswith("---\n")
    assert "# doctor" in card
    for words in ("made on the spot with random weights (`new:tiny`)", "`rows.jsonl`", "optimizer steps | 6 |"):
        assert words in card
    figures = doctor.ended.said
    assert f"{figures['rows']:,} rows of one data set with {figures['answer_tokens']:,} answer tokens" in card
    assert f"| general probe loss | {figures['held_out']['general_probe']['before']:.4g} |" in card
    assert "Unfinished" not in card
    assert "Rehearsal" not in card
    for word in ("TRL", "fine-tuned version of", "huggingface/trl", "licence: license", "time machine", "None"):
        assert word not in card, word


def test_the_card_of_a_checkpoint_says_that_it_is_unfinished(doctor):
    card = (doctor.out / "checkpoint-3" / "README.md").read_text(encoding="utf-8")
    assert "**Unfinished.** 3 of 6 steps are done" in card


def test_people_hear_of_checks_plan_and_end_and_of_nothing_else(doctor):
    for words in (
        "ok       rows      ",
        "sample 1, under the loss",
        "plan: 6 steps of 8 = 4 x 2 accumulated x 1 processes",
    ):
        assert words in doctor.ended.talk
    assert "step 6/6" in doctor.ended.talk
    assert "Warning" not in doctor.ended.talk


def test_exactly_the_answers_and_their_end_tokens_are_under_the_loss(home):
    """Stopped behind its first step, a run still has what its trainer reads: token ids and labels on the disk."""
    rows = [multi_turn(number) if number % 2 else consultation(number) for number in range(40)]
    clinic("turns.jsonl", rows)
    flags = ("--data", "turns.jsonl", "--epochs", 50, "--save-every", 1, "--eval-rows", 0, "--out", "mask")
    running = commands().start(*SMALL, *flags)
    assert running.until(lambda: Path("mask/checkpoint-1").exists())
    running.signal(signal.SIGINT)
    assert running.outcome().code == 4
    from datasets import Dataset
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("mask/.run/tokenizer")
    encoded = Dataset.from_file("mask/.run/parts/0-train.arrow")
    whole = {tokenizer.apply_chat_template(row["messages"], tokenize=False): row for row in rows}
    assert len(encoded) == 39
    for row in encoded:
        supervised = [label for label in row["labels"] if label != -100]
        own = whole[tokenizer.decode(row["input_ids"])]
        assert tokenizer.decode(supervised) == answers(own)
        assert all(label in (-100, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


@pytest.fixture(scope="module")
def mixed(home) -> Trained:
    """A quarter of general rows, which have a validation split of their own."""
    clinic("medicine/train.jsonl", 45)
    clinic("medicine/validation.jsonl", 5, first=45)
    general = [
        [Message("user", f"{city}有什么好玩的？"), Message("assistant", f"{city}的老城和博物馆值得一看。")]
        for city in CITIES
    ]
    rows = [{"messages": [one.told() for one in said]} for said in general]
    clinic("belle/train.jsonl", rows[:22])
    clinic("belle/valid.jsonl", rows[22:])
    return train(Path("mixed"), "--data", "medicine", "--data", "general=belle=0.25", "--max-steps", 2)


CITIES = ["西安", "南京", "杭州", "苏州", "成都", "重庆", "昆明", "大理", "桂林", "厦门", "福州", "泉州", "广州", "长沙", "武汉", "洛阳", "开封", "济南", "青岛", "大连", "沈阳", "长春", "哈尔滨", "拉萨", "兰州", "敦煌"]  # fmt: skip


def test_a_share_is_of_all_rows_and_stands_in_card_and_training_json(mixed):
    medicine, belle = told(mixed.out)["facts"]["data"]
    assert (medicine["rows"], belle["rows"]) == (45, 15)  # 45 / 0.75 x 0.25
    assert (medicine["share"], belle["share"]) == (0.75, 0.25)
    assert (medicine["general"], belle["general"]) == (False, True)
    assert mixed.ended.said["rows"] == 60
    assert mixed.ended.said["answer_tokens"] == medicine["answer_tokens"] + belle["answer_tokens"]
    assert re.search(r"\| `belle` \|.*\| 15 \| 25\.0% \|.*\| yes \|", mixed.card)
    assert "--data general=belle=0.25" in mixed.card


def test_general_rows_are_measured_before_and_after_beside_the_probe(mixed):
    measured = {one["name"]: one for one in told(mixed.out)["facts"]["measured"]}
    assert {name: one["rows"] for name, one in measured.items()} == {"held_out": 5, "general": 4, "general_probe": 60}
    for name, one in measured.items():
        assert 0 < one["after"] < one["before"], name
        assert mixed.ended.said["held_out"][name] == {"before": one["before"], "after": one["after"]}
    for words in ("| general loss |", "| general probe loss |", "random weights: there was nothing to forget"):
        assert words in mixed.card


def test_a_dry_run_prints_what_it_found_and_writes_nothing(home, tmp_path):
    """As users start it, imports and all."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = files_of(home)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    flags = (*SMALL, "--data", "medicine", "--max-steps", 2, "--out", "dry", "--dry-run")
    command = [sys.executable, "-m", "trainers.sft", *map(str, flags)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert files_of(home) == before
    assert not Path("dry").exists()
    assert not list(scratch.iterdir())
    for check in ("rows", "template", "left out", "lengths", "held out", "leaks", "memory"):
        assert f"ok       {check}" in ended.stderr
    for number in (1, 2):
        assert f"sample {number}, under the loss" in ended.stderr
    assert f"<|im_start|>assistant\n    【{answered(0)}<|im_end|>】" in ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert (said["dry_run"], said["steps"], said["rows"]) == (True, 2, 45)
    assert ended.stdout.splitlines()[:-1] == []  # data to stdout, talk to stderr


def test_adapters_are_saved_alone_and_merged_they_are_base_plus_adapters(home, doctor):
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = str(doctor.out.relative_to(home))
    flags = ("--model", base, "--data", "medicine", "--lora", 4, "--max-steps", 2, "--eval-rows", 0)
    adapters, merged = train(Path("adapters"), *flags), train(Path("merged"), *flags, "--merge")
    assert not (adapters.out / "model.safetensors").exists()
    config = json_of(adapters, "adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (4, 8)
    assert str(home) not in json.dumps(config, ensure_ascii=False)
    assert not list(merged.out.glob("adapter_*"))
    assert weights(merged.out) != weights(doctor.out)
    ids = AutoTokenizer.from_pretrained(merged.out)(asked(5), return_tensors="pt")["input_ids"]
    both = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(doctor.out), adapters.out)
    whole = AutoModelForCausalLM.from_pretrained(merged.out)
    with torch.no_grad():
        apart, together = both.eval()(input_ids=ids).logits, whole.eval()(input_ids=ids).logits
        before = AutoModelForCausalLM.from_pretrained(doctor.out).eval()(input_ids=ids).logits
    assert torch.allclose(apart, together, atol=1e-4)
    assert not torch.allclose(before, together, atol=1e-3)
    for run in (adapters, merged):
        assert re.search(r"\| trained \| LoRA of rank 4, (an adapter|merged into the weights) \|", run.card)
        assert "rows.jsonl@" in run.card  # what the base had learnt from
        assert told(run.out)["facts"]["earlier_data"]


def test_adapters_of_a_model_made_on_the_spot_have_a_base_to_stand_on(home):
    """Whoever gets the folder can load them, or the command refuses what nobody could."""
    ended = commands()(*SMALL, "--data", "medicine", "--lora", 4, "--max-steps", 1, "--eval-rows", 0, "--out", "alone")
    if ended.code == 2:
        assert "--merge" in ended.talk.splitlines()[-1]
        return
    assert ended.code == 0, ended.talk
    base = json.loads(Path("alone/adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path("alone", base, "config.json").exists() or Path(base, "config.json").exists()


@pytest.fixture(scope="module")
def rehearsed(home) -> Trained:
    """Two steps on what the rehearsal teacher wrote, by the recipe for small things."""
    command = [sys.executable, "-m", "builders.distill_instructions", "--teacher", "rehearsal", "--rows", "40"]
    subprocess.run(
        [*command, "--out", "build/tiny/instructions"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    data = ("--data", "build/tiny/instructions")
    return train(Path("rehearsed"), "--recipe", "tiny", *data, "--max-length", 1024, "--max-steps", 2)


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults(rehearsed):
    settings = told(rehearsed.out)["facts"]["settings"]
    assert (settings["learning_rate"], settings["epochs"], settings["max_steps"]) == (4e-3, 3.0, 2)
    assert settings["data"] == ["instructions"]
    assert "save every" not in rehearsed.card


def test_a_model_of_rehearsal_rows_says_so_everywhere(rehearsed):
    assert told(rehearsed.out)["rehearsal"] is True
    assert "> **Rehearsal.**" in rehearsed.card
    assert "- rehearsal\n" in rehearsed.card
    (data,) = told(rehearsed.out)["facts"]["data"]
    assert (data["name"], data["version"], data["configs"]) == ("instructions", "1.0.0", ["distilled_instructions"])


def test_a_model_of_rehearsal_rows_is_not_pushed(rehearsed, home):
    with running_hub() as hub:
        ended = cold(*rehearsed.flags, "--push", REPO, env=client_env(hub, home / "hf"))
        assert ended.code == 2
        assert "rehearsal rows" in ended.talk.splitlines()[-1]
        assert hub.models == {}


def test_a_run_that_could_never_be_pushed_is_refused_before_it_trains(rehearsed, home):
    flags = [flag if flag != rehearsed.out else "never" for flag in rehearsed.flags]
    with running_hub() as hub:
        ended = cold(*flags, "--push", REPO, env=client_env(hub, home / "hf"))
        assert ended.code == 2
        assert "rehearsal rows" in ended.talk.splitlines()[-1]
    assert not Path("never/training.json").exists()


def test_a_finished_model_is_pushed_by_the_same_command_and_not_trained_again(home):
    rows = [instruction(number) for number in range(24)]
    release("licensed", {"train": rows[:20], "validation": rows[20:]})
    made = train(Path("public"), "--data", "licensed", "--max-steps", 2)
    stood = weights(made.out)
    with running_hub() as hub:
        environment = client_env(hub, home / "hf")
        pushed = cold(*made.flags, "--push", REPO, env=environment)
        assert pushed.code == 0, pushed.talk
        assert "nothing to train" in pushed.talk
        tag = f"run-{made.ended.said['fingerprint'][:8]}"
        assert (pushed.said["pushed"]["repo"], pushed.said["pushed"]["tag"]) == (REPO, tag)
        assert pushed.said["loss"] == made.ended.said["loss"]
        there = hub.models[REPO].files(tag)
        assert hashlib.sha256(there["model.safetensors"]).hexdigest() == stood == weights(made.out)
        assert set(there) - {".gitattributes"} == {path.name for path in made.out.iterdir() if path.is_file()}
        assert hub.models[REPO].private
        commits = len(hub.models[REPO].commits)
        again = cold(*made.flags, "--push", REPO, env=environment)
        assert again.code == 0, again.talk
        assert again.said["pushed"]["made"] is False
        assert len(hub.models[REPO].commits) == commits


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["ddp", "zero2", "zero3"])
def test_two_processes_learn_what_one_learns(home, doctor, profile):
    both = ("--data", home / "data" / "rows.jsonl", "--max-steps", 6, "--save-every", 3, "--micro-batch", 2)
    alone = train(Path(f"one-{profile}"), *both)
    shared = train(Path(f"two-{profile}"), *both, "--profile", profile, "--processes", 2)
    assert (shared.ended.said["profile"], shared.ended.said["processes"]) == (profile, 2)
    assert shared.ended.said["loss"] == pytest.approx(alone.ended.said["loss"], abs=2e-3)
    assert shared.ended.said["rows"] == alone.ended.said["rows"]


@pytest.mark.slow
def test_packed_rows_are_learnt_in_fewer_sequences(home, doctor):
    packed = train(Path("packed"), "--data", home / "data" / "rows.jsonl", "--packing", "--epochs", 2)
    rows = packed.ended.said["rows"]
    sequences = int(re.search(rf"packed {rows} rows into (\d+) of 256 tokens", packed.ended.talk)[1])
    assert sequences < rows / 2
    assert packed.ended.said["steps"] == 2 * math.ceil(sequences / 8)
    assert packed.ended.said["answer_tokens"] == doctor.ended.said["answer_tokens"]
    assert curve(packed, "loss")[-1][1] < curve(packed, "loss")[0][1]


def curve(run: Trained, name: str) -> list[tuple[int, float]]:
    """(step, value) of a curve in training.json."""
    curves = {one["name"]: one["points"] for one in told(run.out)["facts"]["curves"]}
    return [(step, value) for step, value in curves[name]]


def held_out_rows(run: Trained) -> int:
    return next(one["rows"] for one in told(run.out)["facts"]["measured"] if one["name"] == "held_out")


def json_of(run: Trained, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.out / name).read_text(encoding="utf-8"))
    return found
