"""What a run needs of a GPU: the published arithmetic, and what small models really hold."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoModelForCausalLM, BloomConfig, Qwen2Config, Qwen3Config  # noqa: E402

from trainers.engine.memory import GIB, Load, ModelShape, estimate, of_gpus, ways_to_fit  # noqa: E402
from trainers.engine.models import LoraChoice  # noqa: E402
from trainers.engine.run import Spread  # noqa: E402

QWEN_7B = Qwen2Config(
    vocab_size=152064,
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
)
SMALL = {
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "tie_word_embeddings": True,
}
ON_CPU = Spread(profile="single")


def on_gpus(profile, processes=8):
    return Spread(profile=profile, processes=processes, device="cuda", bf16=True)


def small_model(**how):
    return AutoModelForCausalLM.from_config(Qwen3Config(**SMALL), **how)


@pytest.fixture(scope="module")
def qwen():
    return ModelShape.of_config(QWEN_7B)


@pytest.fixture(scope="module")
def small():
    return ModelShape.of_config(Qwen3Config(**SMALL))


def test_parameters_are_counted_without_loading_a_model(qwen):
    # Qwen2.5-7B's card says 7.61 B. A layer: q, o 2 x 3584^2 (+ 3584), k, v 2 x 3584 x 512 (+ 2 x 512),
    # MLP 3 x 3584 x 18944, norms 2 x 3584 = 233,057,792; 28 of them, 2 x 152,064 x 3584 and the last norm.
    assert qwen.parameters == qwen.trained == 28 * 233_057_792 + 2 * 152_064 * 3584 + 3584 == 7_615_616_512
    assert not qwen.lora


@pytest.mark.parametrize(
    ("profile", "gb"),
    [
        ("zero2", 28.6),  # 7.616 x (2 + 14 / 8) = 28.56; of 7.6 B 28.5
        ("zero3", 15.2),  # 7.616 x 16 / 8 = 15.23
        ("single", 121.8),  # 7.616 x 16: 4 weights, 4 gradients, 8 Adam
    ],
)
def test_training_state_of_7b_is_that_of_the_zero_paper(qwen, profile, gb):
    told = estimate(qwen, on_gpus(profile), Load(micro=1, length=8192, checkpointing=True))
    state = (told.weights + told.gradients + told.optimizer) * GIB
    assert round(state / 1e9, 1) == gb


def test_a_frozen_copy_is_whole_under_zero2_and_shared_out_under_zero3(qwen):
    def copy(profile):
        plain, beside = (
            estimate(qwen, on_gpus(profile), Load(micro=1, length=512, checkpointing=True, frozen_copies=copies))
            for copies in (0, 1)
        )
        return (beside.weights - plain.weights) * GIB / 1e9

    assert copy("zero2") == pytest.approx(15.23, abs=0.01)  # 7.616 x 2
    assert copy("zero3") == pytest.approx(1.90, abs=0.01)  # 7.616 x 2 / 8


def test_checkpointing_stores_what_goes_into_each_layer_and_one_layer_whole(qwen):
    told = estimate(qwen, on_gpus("zero2"), Load(micro=1, length=8192, checkpointing=True))
    stored = 28 * 8192 * 3584 * 2  # 1.64 GB
    # A layer without head norms, bytes a token: norms 2 x (fp32 input 4 + normalised 2 + output 2) x 3584, queries
    # and attention output 2 x 2 x 3584, keys and values 2 x 2 x 512, MLP 4 x 2 x 18944 (gate, its SiLU, up, their
    # product), fp32: a root mean square for each norm, a log-sum-exp for each of 28 heads.
    layer = 16 * 3584 + 4 * 3584 + 4 * 512 + 8 * 18944 + 4 * 2 + 4 * 28
    assert layer == 225_400
    # beside the layers: the last norm 6 x 3584 and its root mean square, cosines and sines 2 x 2 x 128, the token 8
    beside = 6 * 3584 + 4 + 4 * 128 + 8
    assert told.activations * GIB == stored + 8192 * (layer + beside)


def test_the_head_makes_tiles_of_logits_and_not_all_of_them(qwen):
    told = estimate(qwen, on_gpus("zero2"), Load(micro=1, length=8192, checkpointing=True))
    # tile 4096 x 32768 x 2, weights of it 32768 x 3584 x 2, gradients: hidden 8192 x 3584 x 4, head 152064 x 3584 x 6
    assert told.logits * GIB == 268_435_456 + 234_881_024 + 117_440_512 + 3_269_984_256
    assert told.logits * GIB < 8192 * 152064 * 4  # the logits in fp32


def test_state_is_to_the_byte_what_a_model_and_adam_hold_after_a_step(small):
    model = small_model()
    adam = torch.optim.AdamW(model.parameters())
    ids = torch.arange(16)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    adam.step()
    told = estimate(small, ON_CPU, Load(micro=1, length=16, checkpointing=False))
    moments = [state[name] for state in adam.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert told.weights * GIB == sum(one.nbytes for one in model.parameters())
    assert told.gradients * GIB == sum(one.grad.nbytes for one in model.parameters())
    assert told.optimizer * GIB == sum(one.nbytes for one in moments)


def test_state_of_adapters_is_to_the_byte_what_peft_makes():
    peft = pytest.importorskip("peft")
    shape = ModelShape.of_config(Qwen3Config(**SMALL), lora=LoraChoice(8))
    # rank 8 on q (256, 256), k, v (256, 128), o (256, 256), gate, up (256, 640), down (640, 256): 8 x sum(in + out) a layer
    assert shape.trained == 4 * 8 * (512 + 384 + 384 + 512 + 896 + 896 + 896) == 143_360
    model = small_model(dtype=torch.bfloat16)
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules="all-linear"))
    told = estimate(shape, Spread(profile="single", bf16=True), Load(micro=1, length=16, checkpointing=False))
    assert told.weights * GIB == sum(one.nbytes for one in model.parameters())
    assert told.optimizer * GIB == 8 * 143_360
    dropping = ModelShape.of_config(Qwen3Config(**SMALL), lora=LoraChoice(8, dropout=0.05))
    # dropout keeps a mask and the dropped input of each adapted layer: inputs of 6 x 256 and 640 a token, in bf16 at least
    more = dropping.saves("autocast", masked=False).token - shape.saves("autocast", masked=False).token
    assert more >= 2 * (6 * 256 + 640)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("bf16", "padded"), [(False, False), (True, False), (False, True)])
def test_activations_are_what_a_forward_pass_really_saves(small, checkpointing, bf16, padded):
    batch = 2 if padded else 1
    told = estimate(
        small, Spread(profile="single", bf16=bf16), Load(micro=batch, length=512, checkpointing=checkpointing)
    )
    kept = small.saves("autocast" if bf16 else "fp32", masked=padded)
    copies = 0 if checkpointing else 4 * kept.copies  # counted under buffers
    one_layer = batch * 512 * (kept.token + 512 * kept.pair) if checkpointing else 0  # lives in the backward pass
    held = really_saved(batch=batch, bf16=bf16, checkpointing=checkpointing, padded=padded)
    assert told.activations * GIB - one_layer + copies == pytest.approx(held, rel=0.05)


def really_saved(*, batch, bf16, checkpointing, padded):
    """Bytes of all tensors that autograd keeps of one forward pass, the weights themselves aside."""
    model = small_model(attn_implementation="sdpa").train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    own, held = {one.untyped_storage().data_ptr() for one in model.parameters()}, {}

    def keep(one):
        storage = one.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = (storage.nbytes(), one)
        return one

    mask = torch.ones(batch, 512, dtype=torch.long)
    mask[0, 500:] = 0 if padded else 1
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        model.base_model(input_ids=torch.ones_like(mask), attention_mask=mask, use_cache=False)
    return sum(size for size, _ in held.values())


def test_attention_that_makes_whole_matrices_pays_for_every_pair_of_tokens():
    shape = ModelShape.of_config(BloomConfig(vocab_size=1000, hidden_size=256, n_layer=2, n_head=8))
    assert shape.saves("fp32", masked=False).pair == 4 * 8  # the softmax of 8 heads; BLOOM knows no other kernel
    eager = ModelShape.of_config(Qwen3Config(**SMALL), eager=True)
    assert eager.saves("fp32", masked=False).pair >= 4 * 8


def test_ddp_holds_buckets_beside_the_gradients(qwen):
    alone = estimate(qwen, on_gpus("single", 1), Load(micro=1, length=512, checkpointing=True))
    told = estimate(qwen, on_gpus("ddp"), Load(micro=1, length=512, checkpointing=True))
    assert (told.buffers - alone.buffers) * GIB == 4 * qwen.trained


def test_packed_rows_pay_for_their_mask_unless_attention_is_flash(qwen):
    def activations(**how):
        return estimate(qwen, on_gpus("zero2"), Load(micro=1, length=8192, checkpointing=False, **how)).activations

    # a bf16 mask of 8192 x 8192 in each of 28 layers is 3.5 GiB; keys and values are repeated for all 28 heads
    # besides: 2 x 2 x (3584 - 512) bytes a token and layer, 2.6 GiB
    assert activations(packed=True) - activations(packed=True, flash=True) == pytest.approx(6.1, abs=0.1)
    assert activations(packed=True, flash=True) == activations()


def test_what_would_fit_is_computed_with_the_fewest_changes(qwen):
    ways = ways_to_fit(qwen, on_gpus("ddp"), Load(micro=4, length=2048, checkpointing=True), room=79.2)
    assert [way.flags for way in ways] == ["--profile zero2", "--profile zero3"]
    for way in ways:
        spread = on_gpus(way.flags.removeprefix("--profile "))
        assert way.total == estimate(qwen, spread, Load(micro=4, length=2048, checkpointing=True)).total <= 79.2


def test_on_one_small_gpu_only_adapters_fit(qwen):
    adapters = ModelShape.of_config(QWEN_7B, lora=LoraChoice(16))
    how = {"room": 23.6, "load": Load(micro=1, length=1024)}
    assert ways_to_fit(qwen, on_gpus("single", 1), **how) == []
    ways = ways_to_fit(qwen, on_gpus("single", 1), adapters=adapters, **how)
    assert ways
    assert all("--lora 16" in way.flags for way in ways)


def test_a_machine_without_gpus_has_no_gpu_memory():
    assert len(of_gpus()) == torch.cuda.device_count()
