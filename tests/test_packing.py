"""Packing keeps every row and the order, fills the packs, and changes no loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.engine.rows.packing import pack, packed_table

LENGTH = 100


def places(packs, rows):
    """For every row the pack it lies in."""
    found = np.full(rows, -1)
    for number in range(len(packs)):
        found[packs.of(number)] = number
    return found


def test_a_row_goes_where_it_leaves_the_least_room():
    packs = pack(np.array([60, 70, 25, 40, 30, 5]), LENGTH)
    # 60 | 70: 25 fits best beside 70 (room 30, not 40), 40 beside 60, 30 nowhere, 5 fills the second pack
    assert [packs.of(number).tolist() for number in range(len(packs))] == [[0, 3], [1, 2, 5], [4]]
    assert packs.fill(np.array([60, 70, 25, 40, 30, 5]), LENGTH) == pytest.approx(230 / 300)


def test_with_one_open_pack_it_is_next_fit():
    packs = pack(np.array([60, 70, 25, 40, 30, 5]), LENGTH, open_bins=1)
    assert [packs.of(number).tolist() for number in range(len(packs))] == [[0], [1, 2], [3, 4, 5]]


def test_of_packs_with_equal_room_the_older_one_is_filled():
    assert places(pack(np.array([60, 60, 40]), LENGTH), 3).tolist() == [0, 1, 0]


def test_a_pack_that_is_too_old_gets_no_row_even_if_it_would_fit_exactly():
    lengths = np.array([90, 95, 96, 10])
    assert places(pack(lengths, LENGTH, open_bins=3), 4).tolist() == [0, 1, 2, 0]
    assert places(pack(lengths, LENGTH, open_bins=2), 4).tolist() == [0, 1, 2, 3]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, LENGTH), max_size=300), st.integers(1, 70))
def test_every_row_lies_in_one_pack_none_overflows_and_the_order_drifts_by_less_than_the_window(sizes, open_bins):
    lengths = np.array(sizes, dtype=np.int64)
    packs = pack(lengths, LENGTH, open_bins=open_bins)
    assert sorted(packs.rows.tolist()) == list(range(len(lengths)))
    assert all(0 < lengths[packs.of(number)].sum() <= LENGTH for number in range(len(packs)))
    assert all((np.diff(packs.of(number)) > 0).all() for number in range(len(packs)))
    where = places(packs, len(lengths))
    earlier = np.maximum.accumulate(where)  # the furthest pack that this row or one before it reached
    assert (earlier - where < open_bins).all()
    again = pack(lengths, LENGTH, open_bins=open_bins)
    assert (again.rows.tolist(), again.starts.tolist()) == (packs.rows.tolist(), packs.starts.tolist())


@pytest.mark.parametrize(("size", "said"), [(101, "row 1: has 101 tokens"), (0, "row 1: has 0 tokens")])
def test_a_row_that_is_empty_or_longer_than_a_pack_is_an_error(size, said):
    with pytest.raises(ValueError, match=said):
        pack(np.array([5, size]), LENGTH)


@pytest.mark.parametrize("spread", [0.6, 0.9])
def test_real_lengths_fill_packs_to_more_than_99_in_100_where_next_fit_wastes_6(spread):
    drawn = np.random.default_rng(0).lognormal(np.log(350) - spread**2 / 2, spread, 100_000)
    lengths = np.clip(drawn.astype(np.int64), 8, 4096)
    assert pack(lengths, 4096).fill(lengths, 4096) > 0.995
    assert pack(lengths, 4096, open_bins=1).fill(lengths, 4096) < 0.94


def table(rows):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({name: datasets.List(datasets.Value("int32")) for name in ("input_ids", "labels")})
    return datasets.Dataset.from_dict(
        {"input_ids": [ids for ids, _ in rows], "labels": [told for _, told in rows]}, features
    )


def test_the_packed_table_holds_the_rows_one_behind_the_other(tmp_path):
    rows = table([([1, 2, 3], [-100, 2, 3]), ([4, 5, 6, 7], [-100, -100, 6, 7]), ([8], [8]), ([9, 10], [-100, 10])])
    packed = packed_table(rows, pack(np.array([3, 4, 1, 2]), 5), tmp_path / "packed.arrow")
    assert packed[:] == {
        "input_ids": [[1, 2, 3, 9, 10], [4, 5, 6, 7, 8]],
        "labels": [[-100, 2, 3, -100, 10], [-100, -100, 6, 7, 8]],
        "seq_lengths": [[3, 2], [4, 1]],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["packed.arrow"]


def test_a_table_in_an_order_of_its_own_over_many_batches_comes_out_in_that_order(tmp_path):
    lengths = np.random.default_rng(0).integers(1, 9, 2_000)
    rows = table([([number] * int(size), [number] * int(size)) for number, size in enumerate(lengths)])
    order = np.random.default_rng(1).permutation(2_000)
    packs = pack(lengths[order], 16)
    packed = packed_table(rows.select(order), packs, tmp_path / "packed.arrow")
    assert len(packed) == len(packs) > 512
    for number in (0, 300, len(packs) - 1):
        expected = [int(order[row]) for row in packs.of(number) for _ in range(lengths[order[row]])]
        assert packed[number]["input_ids"] == packed[number]["labels"] == expected
    assert sum(len(ids) for ids in packed["labels"]) == lengths.sum()


def test_ids_and_labels_of_different_length_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="differ in length"):
        packed_table(table([([1, 2], [1])]), pack(np.array([2]), 4), tmp_path / "packed.arrow")


@pytest.fixture(scope="module")
def model():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    heads = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    torch.manual_seed(0)
    config = transformers.Qwen3Config(vocab_size=50, initializer_range=0.2, use_cache=False, **shape, **heads)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


SAMPLES = [
    ([3, 7, 9, 11, 4], [-100, -100, 9, 11, 4]),
    ([5, 6, 8], [5, 6, 8]),
    ([12, 13, 14, 15, 16, 17], [-100] * 3 + [15, 16, 17]),
]


def collated(rows, tmp_path, length):
    """The batch that TRL's trainer would see, all packs in one."""
    sft_trainer = pytest.importorskip("trl.trainer.sft_trainer")
    packs = pack(np.array([len(ids) for ids, _ in rows]), length)
    packed = packed_table(table(rows), packs, tmp_path / f"{length}.arrow")
    return sft_trainer.DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(list(packed))


def losses(model, batch):
    """Minus log-probability of every token under the loss, in order."""
    import torch

    with torch.no_grad():
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    told = batch["labels"][0, 1:]
    return torch.nn.functional.cross_entropy(logits[0, :-1], told, reduction="none")[told != -100]


@pytest.mark.parametrize("length", [8, 14])
def test_the_loss_of_a_pack_is_the_loss_of_its_samples_alone(model, tmp_path, length):
    import torch

    alone = torch.cat([
        losses(model, {"input_ids": torch.tensor([ids]), "labels": torch.tensor([told])}) for ids, told in SAMPLES
    ])  # fmt: skip
    packed = losses(model, collated(SAMPLES, tmp_path, length))
    assert len(packed) == len(alone) == 3 + 2 + 3  # the first token of the second sample has nothing before it
    assert abs(packed.mean() - alone.mean()) < 1e-5
    assert torch.allclose(packed, alone, atol=1e-5)


def test_no_sample_of_a_pack_sees_another(model, tmp_path):
    other = [([20, 21, 22, 23, 24], [-100, -100, 22, 23, 24]), *SAMPLES[1:]]
    (tmp_path / "other").mkdir()
    before, after = (
        losses(model, collated(SAMPLES, tmp_path, 14)),
        losses(model, collated(other, tmp_path / "other", 14)),
    )
    assert (before[:3] != after[:3]).all()
    assert (before[3:] == after[3:]).all()
