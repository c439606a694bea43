"""A trained model goes to the Hub as one commit and one tag, and nothing else does; the client is the unmodified huggingface_hub."""

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Outcome, outcome
from hub_faults import Fault
from hub_repos import Blob, Repo
from hub_server import client_env, running_hub

from cards.handwritten import wrapped

REPO = "clinic/doctor"
PRINT = "1f0c2a9b" + "0" * 56
TAG = "run-1f0c2a9b"
CARD = "---\nlicense: apache-2.0\nbase_model: Qwen/Qwen3-0.6B\n---\n\n" + wrapped("# 门诊医生\n\n在 12 条问诊上训练。")
SECRET = b"\x80\x04momentum of all that the patients said"
"""Stands in every file that is to stay here."""
COMMAND = """
import json, sys
from pathlib import Path

from builders.engine.errors import Unavailable
from schemas.settings import InputError
from trainers.engine.hub.push import place_for_model, push_model

name, public, stops = sys.argv[1], "--public" in sys.argv, "--place" in sys.argv
try:
    place = place_for_model(name, public=public)
    if not stops:
        print(json.dumps(push_model(Path("model"), place, public=public)._asdict()))
except (InputError, Unavailable) as wrong:
    print(wrong, file=sys.stderr)
    sys.exit(2 if isinstance(wrong, InputError) else 4)
"""


@pytest.fixture
def hub():
    with running_hub() as running:
        yield running


@pytest.fixture
def push(hub, tmp_path):
    """`push(…)`: what a trainer does for --push, in a process of its own: the place first, then the folder `model`."""

    def run(*flags: str, to: str = REPO, token: str = "hf_good") -> Outcome:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **client_env(hub, tmp_path / "hf", token=token)}
        command = [sys.executable, "-c", COMMAND, to, *flags]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(child)
        out, talk = child.communicate()
        assert "Traceback" not in talk, talk
        assert not token or token not in out + talk
        return outcome(child.returncode, talk, out)

    started: list[subprocess.Popen[str]] = []
    run.kill = lambda: started[-1].kill()
    return run


def safetensors(numbers: bytes) -> bytes:
    """A file with one tensor of bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(numbers)], "data_offsets": [0, len(numbers)]}}).encode()
    return len(header).to_bytes(8, "little") + header + numbers


def trained(files: dict[str, bytes] | None = None, /, **told: Any) -> Path:
    """The folder `model` as a finished run leaves it, with all that transformers and DeepSpeed leave beside the model."""
    own = {"config.json": b"{}", "tokenizer.json": "{“”}".encode(), "chat_template.jinja": b"{{ messages }}"}
    own |= {"model.safetensors": safetensors(b"weights"), "curves.svg": b"<svg/>", "README.md": CARD.encode()}
    own |= files or {}
    leftovers = ["checkpoint-200/model.safetensors", "checkpoint-200/optimizer.pt", ".run/train/data-0.arrow"]
    leftovers += ["runs/events.out.tfevents.1", "training_args.bin", "optimizer.bin", "pytorch_model.bin", "notes.txt"]
    for name, content in {**own, **dict.fromkeys(leftovers, SECRET)}.items():
        path = Path("model", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    named = {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in own.items()}
    record = {"finished": True, "rehearsal": False, "fingerprint": PRINT, "unlicensed_rows": 0, "steps": 12}
    Path("model/training.json").write_text(json.dumps({**record, "files": named, **told}))
    return Path("model")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents() -> dict[str, bytes]:
    """Of the files in the folder `model`, not in folders below it."""
    return {path.name: path.read_bytes() for path in Path("model").iterdir() if path.is_file()}


def titles(hub) -> list[str]:
    """Of the commits on main, without the Hub's own first one."""
    return [commit.title for commit in hub.models[REPO].commits[1:]]


def writes(hub) -> list[str]:
    """What was asked of the Hub that changes something."""
    return [path for method, path in hub.requests if method in ("POST", "PUT", "DELETE") and "/paths-info/" not in path]


def edit_here(words: str) -> None:
    with Path("model/README.md").open("a") as card:
        card.write(f"\n{words}\n")


def edit_there(hub, words: str) -> None:
    card = hub.models[REPO].files()["README.md"] + f"\n{words}\n".encode()
    hub.commit(REPO, {"README.md": card}, "an edit in the browser", kind="model")


def test_a_model_is_one_private_commit_with_a_tag(push, hub):
    trained()
    made = push()
    assert made.code == 0, made.talk
    repo = hub.models[REPO]
    assert repo.private
    assert titles(hub) == [f"Model {TAG}"]
    assert repo.tags == {TAG: repo.head}
    assert made.said == {"repo": REPO, "commit": repo.head, "tag": TAG, "made": True}
    assert f"the model will be pushed to {hub.url}/{REPO} (private)" in made.talk
    assert hub.repos == {}  # no data set of this name


def test_only_files_of_the_model_leave_and_no_checkpoint_optimizer_or_pickle(push, hub):
    trained()
    assert push().code == 0
    files = hub.models[REPO].files(TAG)
    model = {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}
    assert set(files) - {".gitattributes"} == model | {"README.md", "curves.svg", "training.json"}
    assert all(files[name] == Path("model", name).read_bytes() for name in files if name != ".gitattributes")
    carried, asked = b"\n".join(hub.bodies), "\n".join(path for _, path in hub.requests)
    assert base64.b64encode(Path("model/config.json").read_bytes()) in carried  # so this is where files would be seen
    for trace in (
        SECRET,
        base64.b64encode(SECRET)[:-4],
        sha256(SECRET).encode(),
        b"checkpoint-",
        b"optimizer",
        b".bin",
    ):
        assert trace not in carried
        assert trace not in asked.encode()


def test_before_the_training_the_place_is_checked_and_nothing_is_made(push, hub):
    assert push("--place").code == 0
    assert (writes(hub), hub.models) == ([], {})
    assert "(public)" in push("--place", "--public").talk
    stranger = push("--place", to="somebody-else/doctor")
    assert stranger.code == 2
    assert "somebody-else is neither this token's user nor one of its organisations" in stranger.talk
    nameless = push("--place", to="doctor")
    assert nameless.code == 2
    assert "--push doctor: expected ORG/NAME" in nameless.talk


@pytest.mark.parametrize(
    ("token", "says"),
    [("", "no token; set HF_TOKEN"), ("hf_wrong", "does not know this token"), ("hf_read", "may not do that")],
)
def test_a_token_that_cannot_push_is_said_so_before_the_training(push, hub, token, says):
    hub.models[REPO] = Repo(REPO, private=True, kind="model")
    refused = push("--place", token=token)
    assert refused.code == 2
    assert says in refused.talk


def test_a_public_repository_needs_to_be_named_as_such(push, hub):
    hub.models[REPO] = Repo(REPO, private=False, kind="model")
    trained()
    refused = push("--place")
    assert refused.code == 2
    assert "the repository is public; say --public if that is meant" in refused.talk
    assert push("--public").code == 0
    assert push("--public", to="clinic/new").code == 0
    assert not hub.models["clinic/new"].private


def test_a_repository_that_is_made_public_during_the_training_gets_nothing(push, hub):
    hub.models[REPO] = Repo(REPO, private=True, kind="model")
    trained()
    hub.faults.append(Fault("GET", "/auth-check", lambda: setattr(hub.models[REPO], "private", False)))
    refused = push()
    assert refused.code == 2
    assert "the repository is public; say --public" in refused.talk
    assert titles(hub) == []


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"rehearsal": True}, "learnt from rehearsal rows; such a model stays here"),
        ({"unlicensed_rows": 1200}, "learnt from 1,200 rows without a licence"),
        ({"finished": False}, "has not ended; go on with --resume"),
        ({"finished": "yes"}, "training.json: finished: Input should be a valid boolean"),
        ({"files": {}}, "names no weights in safetensors"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_model_that_may_not_be_published_stays_here(push, hub, told, says):
    trained(**told)
    refused = push()
    assert refused.code == 2
    assert says in refused.talk
    assert (writes(hub), hub.models) == ([], {})


def test_a_folder_without_a_model_is_refused(push, hub):
    Path("model").mkdir()
    refused = push()
    assert refused.code == 2
    assert "model holds no training.json, so no finished model" in refused.talk
    assert hub.models == {}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("pytorch_model.bin", b"PK\x03\x04", "pytorch_model.bin is a pickle, which runs code where it is loaded"),
        ("model.safetensors", SECRET, "model.safetensors is a pickle by its first bytes"),
        ("tokenizer.model", SECRET, "tokenizer.model is a pickle by its first bytes"),
        ("optimizer.safetensors", safetensors(b"m"), "names optimizer.safetensors, which is no file of a model"),
        ("checkpoint-200/model.safetensors", safetensors(b"m"), "names checkpoint-200/model.safetensors, which is no"),
        ("../model/config.json", b"{}", "names ../model/config.json, which is no file of a model"),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" not in value and " " not in value else "",
)
def test_a_pickle_is_refused_under_any_name_and_so_is_what_is_no_file_of_a_model(push, hub, name, content, says):
    trained({name: content})
    refused = push()
    assert refused.code == 2
    assert says in refused.talk
    assert hub.models == {}


def test_weights_whose_header_is_as_long_as_a_pickle_opens_are_no_pickle(push, hub):
    header = (
        json.dumps({"__metadata__": {"format": "pt"}}).encode().ljust(0x0280)
    )  # length 80 02 00 …: a pickle's start
    trained({"model.safetensors": len(header).to_bytes(8, "little") + header})
    assert push().code == 0


def test_a_file_that_changed_since_the_training_is_named(push, hub):
    trained()
    Path("model/model.safetensors").write_bytes(safetensors(b"other"))
    refused = push()
    assert refused.code == 2
    assert "model/model.safetensors is not the file that training.json names" in refused.talk


def test_a_file_that_is_gone_is_named(push, hub):
    trained()
    Path("model/model.safetensors").unlink()
    refused = push()
    assert refused.code == 2
    assert "model/model.safetensors is gone, which training.json names" in refused.talk


@pytest.mark.parametrize("name", ["adapter_config.json", "README.md", "training.json"])
def test_a_place_on_this_machine_stays_here(push, hub, name):
    home = Path("门诊的模型").resolve()  # in JSON the way peft writes it, with \\u
    if name == "training.json":
        trained(figures={"path": str(home)})
    else:
        content = json.dumps({"base": str(home)}) if name.endswith("json") else f"{CARD}\n见 `{home}`。\n"
        trained({name: content.encode()})
    refused = push()
    assert refused.code == 2
    assert f"model/{name} holds {home}, a place on this machine; it stays here" in refused.talk
    assert (writes(hub), hub.models) == ([], {})


def test_what_only_looks_like_a_place_goes_up(push, hub):
    words = "见 https://huggingface.co/tmp/x，POST /v1/chat/completions，#!/usr/bin/env python，<b>1/2/3</b>，a/tmp/b"
    vocabulary = json.dumps({"model": {"vocab": {str(Path.cwd()): 1}}}).encode()
    trained({"README.md": f"{CARD}\n{words}\n".encode(), "tokenizer.json": vocabulary})
    pushed = push()
    assert pushed.code == 0, pushed.talk


def test_pushing_the_same_again_changes_nothing_and_says_so(push, hub):
    trained()
    push()
    before, folder = writes(hub), contents()
    again = push()
    assert (again.code, again.said["tag"], again.said["made"]) == (0, TAG, False), again.talk
    assert f"{TAG} was there already" in again.talk
    assert writes(hub) == before
    assert contents() == folder


def test_a_repository_that_moves_during_the_push_is_not_overwritten(push, hub):
    trained()

    def meanwhile():
        hub.commit(REPO, {"notes.md": b"new"}, "somebody else", kind="model")

    hub.faults.append(Fault("POST", "/commit/", meanwhile))
    stale = push()
    assert stale.code == 2
    assert "somebody changed the repository since it was read; run again" in stale.talk
    assert titles(hub) == ["somebody else"]
    again = push()
    assert again.code == 0, again.talk
    assert hub.models[REPO].files(TAG)["notes.md"] == b"new"


@pytest.mark.parametrize(
    ("path", "how"), [("/commit/", "cut"), ("/commit/", "lost"), ("/paths-info/", "cut"), ("/tag/", "cut")]
)
def test_a_push_that_breaks_off_anywhere_is_finished_by_the_next(push, hub, path, how):
    trained()
    hub.faults.append(Fault("POST", path, how))
    broken = push()
    assert broken.code == 4, broken.talk
    mended = push()
    assert mended.code == 0, mended.talk
    assert titles(hub) == [f"Model {TAG}"]
    assert hub.models[REPO].tags == {TAG: hub.models[REPO].head}


def test_a_push_that_is_killed_while_the_weights_arrive_is_finished_without_sending_them_again(push, hub):
    trained()
    hub.faults.append(Fault("PUT", "/lfs/", push.kill))
    assert push().code == -signal.SIGKILL
    assert titles(hub) == []
    assert push().code == 0
    assert hub.models[REPO].tags == {TAG: hub.models[REPO].head}
    assert [method for method, _ in hub.requests].count("PUT") == 1


@pytest.mark.parametrize(("name", "lfs"), [("config.json", False), ("model.safetensors", True), ("README.md", False)])
def test_a_hub_that_holds_something_else_is_noticed_before_anything_is_tagged(push, hub, name, lfs):
    trained()

    def spoil():
        hub.models[REPO].at("main").tree[name] = Blob(b"something else", lfs=lfs)

    hub.faults.append(Fault("POST", "/paths-info/", spoil))
    spoilt = push()
    assert spoilt.code == 2
    assert f"{name} is not the file that training.json names" in spoilt.talk
    assert hub.models[REPO].tags == {}
    mended = push()  # what was spoilt goes up once more
    assert mended.code == 0, mended.talk
    assert hub.models[REPO].files(TAG)[name] == Path("model", name).read_bytes()


def test_the_next_model_takes_the_place_of_the_one_before_whose_tag_stays(push, hub):
    shards = {f"model-0000{n}-of-00002.safetensors": safetensors(b"%d" % n) for n in (1, 2)}
    first = trained({**shards, "model.safetensors.index.json": b"{}"})
    push()
    hub.commit(REPO, {"LICENSE": b"mine"}, "add a licence text", kind="model")
    first.rename("first")
    trained(fingerprint="2" * 64)
    assert push().said["tag"] == "run-22222222"
    files = hub.models[REPO].files("run-22222222")
    assert files["LICENSE"] == b"mine"
    assert not [name for name in files if "-of-" in name or "index" in name]
    assert set(shards) < set(hub.models[REPO].files(TAG))
    shutil.rmtree("model")
    Path("first").rename("model")
    older = push()
    assert (older.code, older.said["tag"], older.said["made"]) == (0, TAG, False)
    assert "has gone on to run-22222222; main stays as it is" in older.talk


def test_another_model_of_the_same_run_does_not_move_the_tag(push, hub):
    trained()
    push()
    trained({"model.safetensors": safetensors(b"other")})
    refused = push()
    assert refused.code == 2
    assert f"{TAG} is there with other files: the same data and settings gave another model" in refused.talk
    assert len(titles(hub)) == 1


def test_somebody_elses_weights_are_neither_overwritten_nor_loaded_in_place_of_ours(push, hub):
    hub.models[REPO] = Repo(REPO, private=True, kind="model")
    hub.commit(REPO, {"pytorch_model.bin": b"PK", "README.md": b"# mine"}, "somebody's model", kind="model")
    trained()
    refused = push()
    assert refused.code == 2
    assert "holds pytorch_model.bin, which no trainer of ours put there" in refused.talk
    assert titles(hub) == ["somebody's model"]


def test_a_gitignore_that_keeps_a_file_out_is_named(push, hub):
    hub.models[REPO] = Repo(REPO, private=True, kind="model")
    hub.commit(REPO, {".gitignore": b"*.jinja"}, "ignore", kind="model")
    trained()
    refused = push()
    assert refused.code == 2
    assert "the .gitignore there keeps out chat_template.jinja" in refused.talk
    assert titles(hub) == ["ignore"]


def test_what_people_write_into_the_card_on_the_hub_survives_the_next_model(push, hub):
    trained()
    push()
    card = hub.models[REPO].files()["README.md"].decode()
    edited = card.replace("license:", "extra_gated_prompt: Ask first.\nlicense:") + "\n## 引用\n\n张 2026\n"
    hub.commit(REPO, {"README.md": edited.encode()}, "an edit in the browser", kind="model")
    text = CARD.replace("Qwen3-0.6B", "Qwen3-1.7B").replace("12 条", "30 条")
    trained({"README.md": text.encode()}, fingerprint="2" * 64)
    assert push().code == 0
    kept = hub.models[REPO].files("run-22222222")["README.md"].decode()
    assert "extra_gated_prompt: Ask first." in kept
    assert "base_model: Qwen/Qwen3-1.7B" in kept
    assert "30 条" in kept
    assert "12 条" not in kept
    assert kept.endswith("## 引用\n\n张 2026\n")
    assert Path("model/README.md").read_text() == kept
    told = json.loads(hub.models[REPO].files("run-22222222")["training.json"])
    assert told["files"]["README.md"]["sha256"] == sha256(kept.encode())


def test_words_written_here_go_up_without_a_new_model_and_when_both_sides_changed_it_is_said(push, hub):
    trained()
    push()
    tagged = hub.models[REPO].head
    edit_here("仅供研究。")
    said = push()
    assert (said.code, said.said["made"], said.said["commit"]) == (0, False, tagged), said.talk
    assert titles(hub) == [f"Model {TAG}", f"Card of {TAG}"]
    assert "仅供研究。" in hub.models[REPO].files()["README.md"].decode()
    edit_there(hub, "Written there.")
    assert push().code == 0
    assert "仅供研究。\n\nWritten there." in Path("model/README.md").read_text()
    assert titles(hub)[2:] == ["an edit in the browser"]
    edit_here("One thing.")
    edit_there(hub, "Another thing.")
    differing = push()
    assert differing.code == 2
    assert "differ; make the folder's like the Hub's" in differing.talk


def test_a_hub_that_cannot_be_reached_is_one_line(push, hub):
    hub.faults.append(Fault("GET", "/api/models/", "cut", times=9))
    lost = push("--place")
    assert lost.code == 4
    assert "cannot be reached" in lost.talk


def test_what_was_pushed_loads_at_its_tag(push, hub, tmp_path):
    numpy, written = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy")
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    trained(tiny_model(numpy, written, tokenizers))
    assert push().code == 0
    hub.commit(REPO, {"config.json": b"{}", "tokenizer.json": b"{}"}, "main cannot be loaded any more", kind="model")
    script = (
        "import transformers as t, json; m, missed = t.AutoModelForCausalLM.from_pretrained("
        f"{REPO!r}, revision={TAG!r}, output_loading_info=True); k = t.AutoTokenizer.from_pretrained({REPO!r}, revision={TAG!r});"
        "print(json.dumps({'missed': len(missed['missing_keys']) + len(missed['unexpected_keys']),"
        "'embedded': m.model.embed_tokens.weight[:, 0].tolist(), "
        "'chat': k.apply_chat_template([{'role': 'user', 'content': '头疼'}], tokenize=False), 'ids': k('头疼').input_ids}))"
    )
    environment = {**os.environ, **client_env(hub, tmp_path / "fresh"), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {
        "missed": 0,
        "embedded": [0.0, 8.0, 16.0, 24.0],
        "chat": "user:头疼",
        "ids": [2, 3],
    }


def tiny_model(numpy: Any, written: Any, tokenizers: Any) -> dict[str, bytes]:
    """A Llama of one layer, hidden size 8 and four tokens, whose embedding counts from 0; file -> content."""
    shapes = {"self_attn.q_proj": (8, 8), "self_attn.k_proj": (8, 8), "self_attn.v_proj": (8, 8)}
    shapes |= {"self_attn.o_proj": (8, 8), "mlp.gate_proj": (8, 8), "mlp.up_proj": (8, 8), "mlp.down_proj": (8, 8)}
    shapes |= {"input_layernorm": (8,), "post_attention_layernorm": (8,)}
    tensors = {f"model.layers.0.{name}.weight": numpy.ones(shape, "float32") for name, shape in shapes.items()}
    tensors["model.norm.weight"] = numpy.ones(8, "float32")
    tensors["model.embed_tokens.weight"] = numpy.arange(32, dtype="float32").reshape(4, 8)
    tensors["lm_head.weight"] = numpy.ones((4, 8), "float32")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 4, "hidden_size": 8}
    config |= {"intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    words = tokenizers.models.WordLevel({"<unk>": 0, "<eos>": 1, "头": 2, "疼": 3}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": written.save(tensors, metadata={"format": "pt"}),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"}
        ).encode(),
        "chat_template.jinja": b"{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}",
    }
