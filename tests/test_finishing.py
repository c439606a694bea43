"""What a finished run leaves in OUT: a whole model or none, people's words in its card, and no trace of this machine."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_training import a_run, tokenizer, trainer  # noqa: E402
from trained import SMALL, at_home, clinic, commands, told  # noqa: E402

from cards.model_card import model_card  # noqa: E402
from cards.model_facts import ModelFacts, TrainedOn  # noqa: E402
from schemas.settings import InputError  # noqa: E402
from trainers.engine.describing import sequences_seen  # noqa: E402
from trainers.engine.finishing import BROKEN_CARD, FACTS, card_so_far, finish  # noqa: E402
from trainers.engine.launching.launch import choose_spread  # noqa: E402
from trainers.engine.models import find_model, lora_config  # noqa: E402
from trainers.engine.run import Batches, Run  # noqa: E402

ROWS = TrainedOn(name="问诊.jsonl", revision="a" * 64, licenses={"mit": 16}, rows=16, answer_tokens=160, share=1.0)
KNOWN = ModelFacts(
    name="doctor",
    trainer="sft",
    base="base-7b",
    base_license="apache-2.0",
    parameters=20_000,
    trained_parameters=20_000,
    data=(ROWS,),
    template="chatml",
    max_length=64,
    settings={"model": "base-7b", "data": ["问诊.jsonl"]},
    steps=12,
    steps_done=0,
    hardware="one CPU process",
    profile="single",
)


def prepared(out: Path, **facts: Any) -> Run:
    """A run whose facts lie where preparation leaves them."""
    run = a_run(out)
    text = KNOWN.model_copy(update=facts).model_dump_json()
    (run.folder / FACTS).write_text(text, encoding="utf-8")
    return run


def finished(run: Run, **options: Any) -> Any:
    """The end of a run, as if its steps were behind it."""
    return finish(trainer(run.out, run=run, **options), tokenizer(), merge=False)


def card(out: Path) -> str:
    return (out / "README.md").read_text(encoding="utf-8")


def test_what_a_killed_end_left_is_no_part_of_the_model(tmp_path):
    run = prepared(tmp_path)
    left = run.folder / "final"
    left.mkdir()
    for name in ("training.json", "model-00001-of-00002.safetensors"):
        (left / name).write_text("{}")
    assert finished(run).code == 0
    named = told(tmp_path)["files"]
    assert "model.safetensors" in named
    assert not {"training.json", "model-00001-of-00002.safetensors"} & set(named)
    assert set(named) == {path.name for path in tmp_path.iterdir() if path.is_file()} - {"training.json"}


def test_every_file_is_on_the_disk_before_the_one_that_says_so(tmp_path, monkeypatch):
    run, happened = prepared(tmp_path), []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (happened.append(str(Path(f"/proc/self/fd/{number}").readlink())), sync(number))
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (happened.append(f"moved {to}"), replace(self, to))[1])
    finished(run)
    last = happened.index(f"moved {tmp_path / 'training.json'}")
    for name in (*told(tmp_path)["files"], "training.json"):
        assert str(run.folder / "final" / name) in happened[:last]
    assert happened[last - 2] == str(tmp_path)  # the names of the others are
    assert happened[last + 1] == str(tmp_path)


def test_a_run_that_saved_no_weights_is_not_called_finished(tmp_path):
    run = prepared(tmp_path)
    scattered = trainer(tmp_path, run=run)
    scattered.save_model = lambda folder, **_: Path(folder).mkdir()  # DeepSpeed's ZeRO-3, told to gather nothing
    with pytest.raises(InputError, match="no process saved weights; a launcher of your own must have them gathered"):
        finish(scattered, tokenizer(), merge=False)
    assert not (tmp_path / "training.json").exists()


@pytest.mark.parametrize(
    ("told", "in_a_file", "profile"),
    [
        ({"ZERO_STAGE": "3", "ZERO3_SAVE_16BIT_MODEL": "true"}, None, "zero3"),
        ({"ZERO_STAGE": "3", "ZERO3_SAVE_16BIT_MODEL": "false"}, None, None),
        ({"ZERO_STAGE": "3"}, None, None),
        ({"ZERO_STAGE": "2"}, None, "zero2"),
        ({}, {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}, "zero3"),
        (
            {"ZERO3_SAVE_16BIT_MODEL": "true"},
            {"stage": 3, "stage3_gather_16bit_weights_on_model_save": "auto"},
            "zero3",
        ),
        ({"ZERO3_SAVE_16BIT_MODEL": "true"}, {"stage": 3}, None),
        ({}, {"stage": 1}, "zero2"),
    ],
)
def test_a_launcher_that_has_nobody_gather_the_weights_is_refused_before_the_training(
    told, in_a_file, profile, monkeypatch, tmp_path
):
    in_launcher(monkeypatch, USE_DEEPSPEED="true", **{f"DEEPSPEED_{name}": value for name, value in told.items()})
    if in_a_file:
        (tmp_path / "ds.json").write_text(json.dumps({"zero_optimization": in_a_file}))
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "ds.json"))
    if profile:
        assert choose_spread("auto", None, "fp32", fits=lambda _: True).profile == profile
        return
    with pytest.raises(InputError, match="has nobody gather weights; set zero3_save_16bit_model to true"):
        choose_spread("auto", None, "fp32", fits=lambda _: True)


def test_a_launcher_that_shards_by_fsdp_is_refused(monkeypatch):
    in_launcher(monkeypatch, USE_FSDP="true")
    with pytest.raises(InputError, match="says FSDP; expected DDP or DeepSpeed ZeRO"):
        choose_spread("auto", None, "fp32", fits=lambda _: True)


def in_launcher(monkeypatch: pytest.MonkeyPatch, **told: str) -> None:
    """The environment of one of two processes that `accelerate launch` started."""
    environment = {"RANK": "0", "WORLD_SIZE": "2", **{f"ACCELERATE_{name}": value for name, value in told.items()}}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_words_that_people_write_into_the_card_while_it_trains_stay_to_the_end(tmp_path):
    run = prepared(tmp_path)
    under_way = trainer(tmp_path, run=run)
    card_so_far(under_way)
    (tmp_path / "README.md").write_text(f"{card(tmp_path)}\n致谢：王医生。\n", encoding="utf-8")
    card_so_far(under_way)
    assert "致谢：王医生。" in card(tmp_path)
    finish(under_way, tokenizer(), merge=False)
    assert card(tmp_path).endswith("致谢：王医生。\n")
    assert card(tmp_path).count("# doctor") == 1


def test_a_card_that_cannot_be_taken_apart_ends_no_training_and_is_kept(tmp_path, capsys):
    run = prepared(tmp_path)
    broken = model_card(KNOWN).replace("<!-- end of the generated part", "<!-- 王医生") + "\n致谢。\n"
    (tmp_path / "README.md").write_text(broken, encoding="utf-8")
    finished(run)
    assert (tmp_path / BROKEN_CARD).read_text(encoding="utf-8") == broken
    assert "README.md: one of the two marks around the generated part is gone" in capsys.readouterr().err
    assert "# doctor" in card(tmp_path)
    assert BROKEN_CARD not in told(tmp_path)["files"]


def test_what_the_base_forbids_is_known_when_the_model_is_trained_again(tmp_path):
    finished(prepared(tmp_path, base_license="cc-by-nd-4.0"))
    assert (told(tmp_path)["license"], told(tmp_path)["license_name"]) == ("other", "no-derivatives")
    assert find_model(str(tmp_path)).license == "no-derivatives"


def test_no_folder_of_this_machine_stands_in_training_json(tmp_path):
    settings = {"set": ["trl.run_name=/home/li/runs/x"], "epochs": 3.0}
    finished(prepared(tmp_path, settings=settings, preflight=(("leaks", "row 3 of /home/li/a/b.jsonl"),)))
    facts = told(tmp_path)["facts"]
    assert facts["settings"] == {"set": ["trl.run_name=x"], "epochs": 3.0}
    assert facts["preflight"] == [["leaks", "row 3 of b.jsonl"]]


def test_adapters_of_a_model_that_was_made_here_keep_it_beside_them(tmp_path):
    run = prepared(tmp_path, adapter=True)
    for folder in ("base", "parts"):
        (run.folder / folder).mkdir()
    (run.folder / "base" / "config.json").write_text("{}")
    finished(run, peft_config=lora_config(2))
    named = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    assert (tmp_path / named / "config.json").exists()
    assert not (run.folder / "parts").exists()
    whole = prepared(tmp_path / "whole")
    (whole.folder / "base").mkdir()
    finished(whole)
    assert not (whole.folder / "base").exists()


def test_the_sequences_of_a_run_are_those_its_steps_take():
    def seen(steps: int, a_pass: int | None) -> int:
        return sequences_seen(Batches(micro=4, accumulate=2, processes=1, steps=steps, epochs=steps / 36), a_pass)

    assert seen(3, 286) == 24
    assert seen(108, 286) == 858  # three times 35 steps of 8 and one of 6
    assert seen(37, 286) == 294
    assert seen(108, None) == 864  # packed


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """A folder with rows and a base, which got one step."""
    with at_home(tmp_path_factory.mktemp("finishing")) as folder:
        clinic("rows.jsonl", 48)
        train("base", "--model", "new:tiny", "--max-steps", 1)
        shutil.rmtree("base/.run")
        yield folder


def train(out: str, *flags: object) -> None:
    ended = commands()(*SMALL, "--data", "rows.jsonl", "--eval-rows", 0, *flags, "--out", out)
    assert ended.code == 0, ended.talk


def weights_of(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(file))


def summed(base: Path, adapters: Path) -> dict[str, Any]:
    """Base plus adapters of rank 4, which count twice, in fp32."""
    whole, low = weights_of(base / "model.safetensors"), weights_of(adapters / "adapter_model.safetensors")
    for name in [name for name in low if name.endswith("lora_A.weight")]:
        layer = name.removeprefix("base_model.model.").replace("lora_A.", "")
        whole[layer] = whole[layer].float() + 2 * (low[name.replace("lora_A", "lora_B")].float() @ low[name].float())
    return whole


def test_adapters_are_folded_in_fp32_and_rounded_once(home, monkeypatch):
    monkeypatch.chdir(home)
    flags = ("--model", "base", "--lora", 4, "--precision", "bf16", "--max-steps", 2)
    train("adapters", *flags)
    train("merged", *flags, "--merge")
    assert {weight.dtype for weight in weights_of(Path("adapters/adapter_model.safetensors")).values()} == {
        torch.float32
    }
    merged, wanted = weights_of(Path("merged/model.safetensors")), summed(Path("base"), Path("adapters"))
    assert set(merged) == set(wanted)
    for name, weight in merged.items():
        assert torch.equal(weight, wanted[name].to(torch.bfloat16)), name
    assert json.loads(Path("merged/config.json").read_text())["dtype"] == "bfloat16"
    facts = told("merged")["facts"]
    assert (facts["passes"], facts["sequences_seen"]) == (2 / 6, 16)  # 2 of 6 steps, of 8 rows each
    assert "/" not in json.loads(Path("adapters/adapter_config.json").read_text())["base_model_name_or_path"][2:]


@pytest.mark.slow
def test_adapters_of_weights_spread_by_zero3_are_folded_by_one_process(home, monkeypatch):
    monkeypatch.chdir(home)
    train("spread", "--lora", 4, "--merge", "--max-steps", 2, "--profile", "zero3", "--processes", 2)
    assert not list(Path("spread").glob("adapter_*"))
    assert told("spread")["facts"]["adapter"] is False
    from transformers import AutoModelForCausalLM

    _, loading = AutoModelForCausalLM.from_pretrained("spread", output_loading_info=True)
    assert not any(loading.values())
