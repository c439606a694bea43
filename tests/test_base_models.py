"""Training starts from what --model names, whole, in the right precision; new models are made from the texts they will see."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
from aiohttp import web

from schemas.settings import InputError
from trainers.engine.model_source import check_whole
from trainers.engine.run import ModelChoice, Spread

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from trainers.engine.models import (  # noqa: E402
    LoraChoice,
    attention_kernel,
    find_model,
    finish,
    load_model,
    load_tokenizer,
    lora_config,
    name_base,
    weights_dtype,
)
from trainers.engine.new_models import make_new  # noqa: E402

TEXTS = [
    "患者：我有高血压，能吃党参吗？",
    "医生：您好，高血压病人可以口服党参的，党参有降血脂、降血压的作用。",
    "CT 检查 3.5 mg",
] * 20
ODD = ["", " ", "\n", "👩‍⚕️ 您好\n\n  CT 检查\t3.5mg/kg\r\n", "e\u0301 é ﬁ　全角，。", "𠮷野家 กินยา", "<|im_end|>"]
SINGLE = Spread(profile="single")
COMMIT = "c" * 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with new:tiny; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    make_new("new:tiny", TEXTS, folder, seed=0)
    return folder


@pytest.fixture
def copy(tiny, tmp_path):
    """`copy()`: the folder of new:tiny, to be broken."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    for file in tiny.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_new_model_is_the_same_to_the_byte_for_the_same_texts_and_seed(tiny, tmp_path):
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    make_new("new:tiny", iter(TEXTS), tmp_path / "again", seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert digests(tmp_path / "again") == digests(tiny)
    make_new("new:tiny", TEXTS, tmp_path / "other", seed=1)
    assert {name for name, digest in digests(tmp_path / "other").items() if digest != digests(tiny)[name]} == {
        "model.safetensors"
    }


def test_every_text_comes_back_from_the_tokenizer_of_a_new_model(tiny):
    tokenizer = load_tokenizer(tiny)
    assert all(tokenizer.decode(tokenizer(text)["input_ids"]) == text for text in TEXTS + ODD)
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, 2, None)
    assert tokenizer("<|im_start|>好<|im_end|>")["input_ids"][:: len(tokenizer("好")["input_ids"]) + 1] == [1, 2]


def test_the_tokenizer_cuts_chinese_at_punctuation_and_numbers_at_every_digit(tiny):
    tokenizer = load_tokenizer(tiny)
    cut = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("头痛，CT检查 3.5 mg")]
    back = [tokenizer.convert_tokens_to_string([piece]) for piece in cut]
    assert back == ["头痛", "，", "CT", "检查", " ", "3", ".", "5", " mg"]


def test_a_vocabulary_is_smaller_where_the_texts_hold_no_more(tiny):
    assert 256 + 3 < len(load_tokenizer(tiny)) < 4096
    config = json.loads((tiny / "config.json").read_text())
    assert config["vocab_size"] == len(load_tokenizer(tiny))


def test_new_tiny_is_made_from_real_consultations(shared_data, tmp_path):
    with (shared_data / "toyhom_zh_qa" / "内科_first4000.gb18030.csv").open(encoding="gb18030", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = [row[field] for row in rows for field in ("title", "ask", "answer")]
    make_new("new:tiny", iter(texts), tmp_path / "new", seed=0)
    tokenizer = load_tokenizer(tmp_path / "new")
    assert len(tokenizer) == 4096
    assert all(tokenizer.decode(tokenizer(text)["input_ids"]) == text for text in texts)
    model = load_model(tmp_path / "new", spread=SINGLE)
    assert model.num_parameters() == 4096 * 128 + 787_840  # embeddings, counted once as they are tied, and body


def test_new_100m_has_a_hundred_million_weights_besides_its_embeddings():
    from trainers.engine.new_models import SIZES

    size = SIZES["new:100m"]
    attention = 2 * size.hidden * (size.hidden + size.key_heads * size.hidden // size.heads)
    assert size.layers * (attention + 3 * size.hidden * size.inner) == pytest.approx(100e6, rel=0.01)


def test_new_models_are_found_by_name():
    assert find_model("new:tiny") == ModelChoice(name="new:tiny", path="new:tiny")
    with pytest.raises(InputError, match=r"--model new:huge: expected a folder .* ORG/NAME.* new:tiny or new:100m"):
        find_model("new:huge")


@pytest.mark.parametrize(
    "name", ["qwen", "./not/there", "org/name@", "https://huggingface.co/org/name", "a b/c", "/no/where"]
)
def test_a_name_that_is_none_is_told_what_it_may_be(name):
    with pytest.raises(InputError, match=r"expected a folder with config.json and weights, ORG/NAME\[@REVISION\]"):
        find_model(name)


def test_a_folder_is_a_model_by_its_own_name_with_what_our_trainer_said_of_it(copy, monkeypatch):
    data = [{"name": "org/polished", "revision": "abc"}, {"name": "org/older@def", "revision": ""}]
    (copy / "README.md").write_text("---\nlicense: mit\n---\n# 模型\n")
    monkeypatch.chdir(copy.parent)
    assert find_model("my-model") == ModelChoice(name="my-model", path=str(copy), license="mit")
    (copy / "training.json").write_text(
        json.dumps({"data": data, "rehearsal": True, "license": "cc-by-nc-4.0", "steps": 3})
    )
    learnt = {"parents": ("org/polished@abc", "org/older@def"), "rehearsal": True, "license": "cc-by-nc-4.0"}
    assert find_model("my-model") == ModelChoice(name="my-model", path=str(copy), **learnt)


def test_a_licence_without_an_id_goes_on_to_the_next_model_by_its_name(copy):
    told = {"data": [], "license": "other", "license_name": "no-derivatives"}
    (copy / "training.json").write_text(json.dumps(told))
    assert find_model(str(copy)).license == "no-derivatives"
    (copy / "training.json").write_text(json.dumps({**told, "license": "mit", "license_name": ""}))
    assert find_model(str(copy)).license == "mit"


def test_a_finished_model_is_whole_while_every_file_is_there_and_as_long_as_it_was(copy):
    named = {file.name: {"bytes": file.stat().st_size} for file in copy.iterdir()}
    (copy / "README.md").write_text("# 模型")
    check_whole(copy, {**named, "README.md": {"bytes": 3}})  # people write into the card
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:1000])
    with pytest.raises(
        InputError, match=rf"model.safetensors of the finished model has 1,000 bytes, not {len(whole):,};"
    ):
        check_whole(copy, named)
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"--out .*my-model: model.safetensors of the finished model is gone; put it back"
    ):
        check_whole(copy, named)


@pytest.mark.parametrize(
    ("base", "named"),
    [
        (ModelChoice(name="org/base", path="org/base", revision=COMMIT), ("org/base", COMMIT)),
        (ModelChoice(name="gpt2", path="/home/li/models/gpt2"), ("./gpt2", None)),  # not the one on the Hub
        (ModelChoice(name="new:tiny", path="/home/li/out/.run/base"), (".run/base", None)),
    ],
)
def test_adapters_name_their_base_and_no_place_on_this_machine(tmp_path, base, named):
    hub = pytest.importorskip("huggingface_hub")
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"r": 4, "base_model_name_or_path": base.path, "revision": None}))
    name_base(tmp_path, base)
    told = json.loads(file.read_text())
    assert told == {"r": 4, "base_model_name_or_path": named[0], "revision": named[1]}
    if not base.revision:
        with pytest.raises(hub.errors.HFValidationError):
            hub.utils.validate_repo_id(told["base_model_name_or_path"])


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("config.json", None, "has no config.json"),
        ("model.safetensors", None, "has no weights"),
        (
            "adapter_config.json",
            '{"base_model_name_or_path": "org/base"}',
            "holds LoRA adapters.* name its base, org/base",
        ),
        ("training.json", "{", "training.json cannot be read"),
        ("training.json", '{"data": [{"name": "org/set"}]}', "every entry of data needs name and revision"),
        ("training.json", "[]", "holds no JSON object"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused(copy, file, text, said):
    (copy / file).unlink(missing_ok=True) if text is None else (copy / file).write_text(text)
    with pytest.raises(InputError, match=said):
        find_model(str(copy))


def described(**told):
    """What the Hub says of org/name."""
    files = ["config.json", "model.safetensors"]
    known = {"id": "org/name", "sha": COMMIT, "gated": False, "private": False, "cardData": {"license": "apache-2.0"}}
    return {**known, "siblings": [{"rfilename": file} for file in told.pop("files", files)], **told}


@pytest.fixture
def hub(serve, monkeypatch, tmp_path):
    """`hub({path: JSON | bytes | (status, code)})`: a Hub that answers so; returns what it was asked."""
    constants = pytest.importorskip("huggingface_hub.constants")

    def start(answers):
        asked = []

        async def answer(request):
            asked.append(request.path)
            found = answers.get(request.path, (404, "RepoNotFound"))
            if isinstance(found, tuple):
                return web.json_response({"error": "没有"}, status=found[0], headers={"X-Error-Code": found[1]})
            if isinstance(found, bytes):
                headers = {"ETag": '"1"', "X-Repo-Commit": COMMIT}
                return web.Response(body=found, headers=headers)
            return web.json_response(found)

        url = serve(answer)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_ENDPOINT", url)
        return asked

    return start


def test_a_hub_name_is_settled_to_a_commit_with_its_licence(hub):
    asked = hub({"/api/models/org/name": described(), "/api/models/org/name/revision/v1": described(sha="d" * 40)})
    assert find_model("org/name") == ModelChoice(
        name="org/name", path="org/name", revision=COMMIT, license="apache-2.0"
    )
    assert find_model("org/name@v1").revision == "d" * 40
    assert len(asked) == 2


def test_a_model_of_ours_on_the_hub_tells_what_it_learnt_from(hub):
    told = json.dumps({"data": [{"name": "org/set", "revision": "abc"}], "rehearsal": False}).encode()
    files = ["config.json", "model.safetensors", "training.json"]
    hub({"/api/models/org/name": described(files=files), f"/org/name/resolve/{COMMIT}/training.json": told})
    assert find_model("org/name").parents == ("org/set@abc",)


def test_a_folder_comes_before_a_hub_name(hub, copy, monkeypatch):
    asked = hub({})
    monkeypatch.chdir(copy.parent.parent)
    assert find_model(f"{copy.parent.name}/{copy.name}").path == str(copy)
    assert asked == []


@pytest.mark.parametrize(
    ("name", "answers", "said"),
    [
        ("org/none", {}, "no folder here and no model on http.* has this name.*expected a folder"),
        ("org/name@v9", {"/api/models/org/name/revision/v9": (404, "RevisionNotFound")}, "has no branch, tag or commit v9"),
        ("org/name", {"/api/models/org/name": (403, "GatedRepo")}, "is gated; accept its terms on .*/org/name and set HF_TOKEN"),
        (
            "org/name",
            {"/api/models/org/name": described(gated="manual"), "/api/models/org/name/auth-check": (403, "GatedRepo")},
            "is gated",
        ),
        ("org/name", {"/api/models/org/name": (400, "")}, "the Hub answered 400"),
        ("org/name", {"/api/models/org/name": described(files=["config.json", "model.gguf"])}, "has no weights"),
        (
            "org/name",
            {"/api/models/org/name": described(files=["adapter_config.json"], cardData={"base_model": "org/base"})},
            "holds LoRA adapters.*name its base, org/base",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_on_the_hub_is_said_in_one_line(hub, name, answers, said):
    hub(answers)
    with pytest.raises(InputError, match=said) as wrong:
        find_model(name)
    assert str(wrong.value).startswith(f"--model {name}: ")
    assert "\n" not in str(wrong.value)


def test_without_a_network_a_model_comes_from_the_cache_or_is_an_error(hub, monkeypatch, tmp_path, tiny):
    hub({})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"http://127.0.0.1:9 cannot be reached .* not in the cache"):
        find_model("org/name")
    repo = tmp_path / "cache" / "models--org--name"
    (repo / "snapshots").mkdir(parents=True)
    (repo / "snapshots" / COMMIT).symlink_to(tiny)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    assert find_model("org/name") == ModelChoice(name="org/name", path="org/name", revision=COMMIT)


def test_a_token_that_is_none_is_never_shown(hub, monkeypatch):
    hub({})
    monkeypatch.setenv("HF_TOKEN", "hf_geheim\u200b")
    with pytest.raises(InputError, match="HF_TOKEN holds characters that no token has") as wrong:
        find_model("org/name")
    assert "geheim" not in str(wrong.value)


def test_a_tokenizer_that_is_missing_is_said_in_words(copy):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(InputError, match="--model my-model: its tokenizer has no vocabulary"):
        load_tokenizer(find_model(str(copy)))


def test_code_of_a_repository_is_never_run(copy):
    config = json.loads((copy / "config.json").read_text())
    own = {
        "model_type": "baichuan",
        "auto_map": {"AutoConfig": "configuration.Own", "AutoModelForCausalLM": "modeling.Own"},
    }
    (copy / "config.json").write_text(json.dumps({**config, **own}))
    (copy / "configuration.py").write_text("raise SystemExit('was run')\n")
    with pytest.raises(InputError, match="needs code from its own repository, which is never run"):
        load_model(find_model(str(copy)), spread=SINGLE)


def rewritten(folder, change):
    """The weights of a folder after `change(tensors)`."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(NORM), r"1 missing \(model.norm.weight\)"),
        (lambda tensors: tensors.update({"score.weight": torch.zeros(1, 128)}), r"1 left over \(score.weight\)"),
        (lambda tensors: tensors.update({NORM: torch.zeros(64)}), r"1 of another shape \(model.norm.weight\)"),
    ],
)
def test_weights_that_only_half_fit_are_an_error_and_no_warning(copy, change, said):
    rewritten(copy, change)
    with pytest.raises(
        InputError, match=f"--model my-model: its weights are not those of the model in config.json: {said}"
    ):
        load_model(find_model(str(copy)), spread=SINGLE)


def test_weights_that_were_cut_off_are_an_error(copy):
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="--model my-model: cannot be loaded"):
        load_model(find_model(str(copy)), spread=SINGLE)


def test_an_attention_kernel_that_is_not_here_is_an_error(tiny):
    with pytest.raises(InputError, match=r"cannot be loaded: FlashAttention2 .* be installed"):
        load_model(tiny, spread=SINGLE, attention="flash_attention_2")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(tiny, spread=SINGLE, attention="quick")


def test_attention_is_pytorchs_own_where_there_is_no_gpu(tiny):
    assert attention_kernel("auto", SINGLE) == "sdpa"
    assert attention_kernel("eager", SINGLE) == "eager"
    assert load_model(tiny, spread=SINGLE).config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("profile", "bf16", "lora", "held"),
    [
        ("single", False, None, "float32"),
        ("ddp", True, None, "float32"),
        ("zero2", True, None, "bfloat16"),
        ("zero3", True, None, "bfloat16"),
        ("zero3", False, None, "float32"),
        ("single", True, LoraChoice(8), "bfloat16"),
        ("ddp", False, LoraChoice(8), "float32"),
    ],
)
def test_weights_are_held_in_full_precision_unless_something_else_keeps_it(profile, bf16, lora, held):
    assert weights_dtype(Spread(profile=profile, bf16=bf16), lora) == getattr(torch, held)


def test_adapters_stay_in_full_precision_beside_frozen_bf16_weights(tiny):
    peft = pytest.importorskip("peft")
    choice = LoraChoice(8)
    model = load_model(tiny, spread=Spread(profile="single", bf16=True), lora=choice)
    wrapped = peft.get_peft_model(model, lora_config(*choice))
    trained = {name: weight for name, weight in wrapped.named_parameters() if weight.requires_grad}
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    assert {weight.dtype for weight in wrapped.parameters() if not weight.requires_grad} == {torch.bfloat16}
    # rank 8, 4 layers: q 128+128, k and v 128+64 each, o 128+128, gate and up 128+384 each, down 384+128
    assert sum(weight.numel() for weight in trained.values()) == 8 * 4 * (2 * 256 + 2 * 192 + 3 * 512)
    assert not any("lm_head" in name for name in trained)


def test_adapters_count_twice_and_go_where_they_are_told():
    pytest.importorskip("peft")
    config = lora_config(16, ("q_proj", "v_proj"), 0.1)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.task_type) == (16, 32, 0.1, "CAUSAL_LM")
    assert config.target_modules == {"q_proj", "v_proj"}
    with pytest.raises(InputError, match="--lora-targets: lm_head cannot have an adapter"):
        lora_config(16, ("q_proj", "lm_head"))


def test_samples_of_a_pack_do_not_see_each_other_in_a_model_as_it_is_loaded(tiny):
    model = load_model(tiny, spread=SINGLE)
    places, ids = torch.tensor([[0, 1, 2, 0, 1]]), torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=places).logits[0, 3:]
        alone = model(input_ids=ids[:, 3:]).logits[0]
    assert torch.allclose(packed, alone, atol=1e-5)


def test_a_published_model_that_contradicts_itself_can_be_trained_and_saved(copy, tmp_path):
    told = {"do_sample": False, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
    (copy / "generation_config.json").write_text(json.dumps(told))
    model = load_model(copy, spread=SINGLE)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(tmp_path / "checkpoint")
    assert "temperature" not in json.loads((tmp_path / "checkpoint" / "generation_config.json").read_text())


def test_a_finished_model_stops_at_every_stop_token_and_uses_its_cache(copy, tmp_path):
    (copy / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.6, "eos_token_id": 0}))
    model, tokenizer = load_model(copy, spread=SINGLE), load_tokenizer(copy)
    out = tmp_path / "out"
    model.save_pretrained(out)
    finish(model, tokenizer, [2, 0, 2], out)
    told = json.loads((out / "generation_config.json").read_text())
    assert (told["eos_token_id"], told["pad_token_id"], told["temperature"]) == ([2, 0], 0, 0.6)
    assert json.loads((out / "config.json").read_text())["use_cache"] is True
    served = transformers.AutoModelForCausalLM.from_pretrained(out)
    torch.nn.init.zeros_(served.model.norm.weight)  # every token is as likely: greedy takes the first, which is a stop
    ended = served.generate(torch.tensor([[5, 6]]), max_new_tokens=5, do_sample=False)
    assert ended[0].tolist() == [5, 6, 0]
