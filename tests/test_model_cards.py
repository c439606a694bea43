"""A model card tells what the model learnt from, what was measured, and what it must not be used for."""

import re
import sys
from xml.etree import ElementTree

import pytest
from huggingface_hub import ModelCard

from cards.model_card import metadata, model_card
from cards.model_facts import Curve, Measured, ModelFacts, TrainedOn
from cards.model_sections import license_of

DIALOGUES = TrainedOn(
    name="my-org/huatuo",
    revision="c" * 40,
    version="1.2.0",
    configs=("polished_qa", "simulated_dialogues"),
    licenses={"cc-by-4.0": 118_000, "mit": 2_000},
    rows=120_000,
    answer_tokens=31_000_000,
    share=0.75,
)
GENERAL = TrainedOn(
    name="belle.jsonl",
    revision="d" * 64,
    licenses={"cc0-1.0": 40_000},
    rows=40_000,
    answer_tokens=9_000_000,
    share=0.25,
    general=True,
)
FACTS = ModelFacts(
    name="huatuo1-sft",
    trainer="sft",
    base="my-org/base-7b",
    base_revision="e" * 40,
    base_license="apache-2.0",
    base_on_hub=True,
    architecture="Qwen3ForCausalLM",
    parameters=7_600_000_000,
    trained_parameters=7_600_000_000,
    data=(DIALOGUES, GENERAL),
    left_out={"shares a cluster with a held-out row": 40, "longer than 2,048 tokens": 812},
    template="chatml",
    max_length=2048,
    settings={
        "model": "my-org/base-7b",
        "data": ["my-org/huatuo@main:polished_qa,simulated_dialogues", "general=belle.jsonl=0.25"],
        "epochs": 3.0,
        "learning_rate": 1e-5,
        "batch": 256,
        "packing": True,
        "lora": None,
        "lora_targets": [],
        "set": ["trl.adam_beta2=0.95"],
        "track": ["tensorboard"],
        "out": "build/model",
        "seed": 0,
    },
    preflight=(("loss mask", "exactly the assistant's tokens in 160,000 rows"),),
    measured=(
        Measured(name="held-out loss", before=2.0, after=1.5, rows=500, on="validation split of my-org/huatuo"),
        Measured(name="general probe loss", before=2.0, after=2.06, rows=200, on="general rows"),
    ),
    curves=(
        Curve(name="loss", points=((1, 2.25), (2, 1.25), (3, 1.75))),
        Curve(name="eval_general_loss", points=((0, 2.0), (3, 2.06))),
        Curve(name="learning_rate", points=((1, 1e-5), (3, 0.0))),
    ),
    steps=1_875,
    steps_done=1_875,
    hardware="8 x NVIDIA A100-SXM4-80GB",
    profile="zero2",
    seconds=43_211.4,
    tokens_per_second=18_234.2,
    versions={"torch": "2.13.0", "trl": "1.16.0"},
)
ADAPTER = {"adapter": True, "trained_parameters": 40_000_000, "settings": {**FACTS.settings, "lora": 16}}


def but(**facts):
    """The facts with some of them changed."""
    return FACTS.model_copy(update=facts)


def test_the_card_states_the_figures_of_the_facts():
    card = model_card(FACTS)
    assert "# huatuo1-sft" in card
    assert (
        "160,000 rows of 2 data sets with 40,000,000 answer tokens. All 7,600,000,000 parameters were trained." in card
    )
    assert (
        f"| [my-org/huatuo](https://huggingface.co/datasets/my-org/huatuo) | `{'c' * 40}` | 1.2.0 | polished_qa, "
        "simulated_dialogues | 120,000 | 75.0% | 31,000,000 | cc-by-4.0 118,000, mit 2,000 |  |"
    ) in card
    assert f"| `belle.jsonl` | `{'d' * 64}` |  |  | 40,000 | 25.0% | 9,000,000 | cc0-1.0 40,000 | yes |" in card
    assert "852 rows were read and not trained on." in card
    assert card.index("| longer than 2,048 tokens | 812 |") < card.index(
        "| shares a cluster with a held-out row | 40 |"
    )
    for line in (
        "| optimizer steps | 1,875 |",
        "| peak learning rate | 1e-05 |",
        "| sequences a step | 256 |",
        "| longest conversation | 2,048 tokens |",
        "| chat template | chatml |",
        "| trained | all weights |",
        "| loss mask | exactly the assistant's tokens in 160,000 rows |",
        "| hardware | 8 x NVIDIA A100-SXM4-80GB |",
        "| time | 43,211 s |",
        "| speed | 18,234 tokens/s |",
        "| trl | 1.16.0 |",
    ):
        assert line in card


def test_the_card_says_how_many_of_its_rows_the_steps_came_to():
    # 3 steps of 8 are 24 of 286 rows: 24 / 286 = 0.0839, but the trainer counts 3 of 36 steps
    few = but(
        data=(GENERAL.model_copy(update={"rows": 286, "answer_tokens": 9_000, "share": 1.0}),), steps=3, steps_done=3
    )
    card = model_card(few.model_copy(update={"passes": 3 / 36, "sequences_seen": 24}))
    assert (
        "286 rows of one data set with 9,000 answer tokens are one pass; 3 steps see 24 sequences, 0.0833 passes."
        in card
    )
    assert "| passes over the data | 0.0833 |" in card
    assert "| epochs |" not in card  # what was asked for and did not come to be
    assert "The steps end before the first pass does: not all rows above were seen." in card
    whole = model_card(but(passes=3.0, sequences_seen=480_000))
    assert "are one pass; 1,875 steps see 480,000 sequences, 3 passes." in whole
    assert "not all rows above were seen" not in whole


def test_rows_that_no_share_drew_are_not_called_trained_on():
    assert "No row that was read was unfit." in model_card(but(left_out={}))
    card = model_card(but(left_out={}, not_drawn=1_200))
    assert "1,200 more had no place in the shares of the mixture." in card
    for facts in (but(left_out={}), but(left_out={}, not_drawn=1_200)):
        assert "every row read was trained on" not in model_card(facts)


def test_losses_come_with_their_change_and_their_perplexity():
    card = model_card(FACTS)
    # e^2 = 7.389, e^1.5 = 4.482, e^2.06 = 7.846; 1.5 / 2 - 1 = -25 %, 2.06 / 2 - 1 = +3 %
    assert (
        "| held-out loss | 2 | 1.5 | -25.0% | 7.389 | 4.482 | 500 | validation split of my-org/huatuo |\n"
        "| general probe loss | 2 | 2.06 | +3.0% | 7.389 | 7.846 | 200 | general rows |"
    ) in card
    assert "Little or nothing was forgotten: on 200 general rows the loss rose by 3.0%." in card


def test_what_was_not_measured_is_left_empty():
    measured = (
        Measured(name="held_out", after=1.5, rows=500, on="held-out rows"),
        Measured(name="accuracy", before=0.5, after=0.75, rows=10, on="pairs", is_loss=False),
    )
    card = model_card(but(measured=measured))
    assert "| held-out loss |  | 1.5 |  |  | 4.482 | 500 | held-out rows |" in card
    assert "| accuracy | 0.5 | 0.75 | +50.0% |  |  | 10 | pairs |" in card
    assert "What it forgot of its general abilities was not measured." in card


def test_forgetting_is_called_forgetting_above_five_percent():
    def card(after):
        return model_card(but(measured=(FACTS.measured[1].model_copy(update={"after": after}),)))

    assert "**It forgot**: on 200 general rows the loss rose by 5.5%." in card(2.11)
    assert "it lost general abilities of its base" in card(2.11)
    assert "Little or nothing was forgotten" in card(2.09)
    assert "it lost general abilities" not in card(2.09)


def test_curves_are_a_picture_and_a_table():
    card = model_card(FACTS)
    assert "![train loss, general loss, learning rate over optimizer steps](curves.svg)" in card
    assert "| train loss | 2.25 (1) | 1.75 (3) | 1.25 (2) | 3 |" in card
    assert "curves.svg" not in model_card(but(curves=()))


def test_a_loss_that_is_no_number_does_not_count_as_the_lowest():
    points = ((1, 2.0), (2, float("nan")), (3, 1.5), (4, float("nan")))
    assert "| train loss | 2 (1) | nan (4) | 1.5 (3) | 4 |" in model_card(
        but(curves=(Curve(name="loss", points=points),))
    )


@pytest.mark.parametrize(
    ("facts", "banner", "shown"),
    [
        (FACTS, "Unfinished", False),
        (but(steps_done=1_874), "Unfinished", True),
        (FACTS, "Rehearsal", False),
        (but(data=(DIALOGUES, GENERAL.model_copy(update={"rehearsal": True}))), "Rehearsal", True),
        (but(base_rehearsal=True), "Rehearsal", True),
        (FACTS, "Mind:", False),
        (but(warnings=("the bar was lowered to 0.5",)), "Mind:", True),
        (FACTS, "Not settled", False),
        (but(base_license=""), "Not settled", True),
    ],
)
def test_a_banner_appears_exactly_when_it_should(facts, banner, shown):
    assert (f"> **{banner}" in model_card(facts)) is shown
    assert ("- rehearsal\n" in metadata(facts)) is facts.rehearsal


def test_an_unfinished_run_says_how_far_it_is():
    card = model_card(but(steps_done=1_200))
    assert "1,200 of 1,875 steps are done" in card
    assert "| optimizer steps | 1,200 of 1,875 |" in card


@pytest.mark.parametrize(
    ("facts", "limit"),
    [
        (but(data=(DIALOGUES,)), "It learnt from one data set, my-org/huatuo, and has its habits and gaps."),
        (but(data=(DIALOGUES,)), "No general rows were among those it learnt from."),
        (but(measured=FACTS.measured[1:]), "No rows were held out"),
        (but(measured=()), "No rows were held out"),
        (but(made_here=True, base="new:tiny"), "It began with random weights"),
        (but(earlier_data=("my-org/books@abc",)), "What its base learnt from before (my-org/books@abc)"),
        (
            but(data=(DIALOGUES.model_copy(update={"licenses": {"": 9}}), GENERAL)),
            "Not all its inputs state a licence.",
        ),
        (but(base_rehearsal=True), "what it says about medicine comes from templates"),
    ],
)
def test_limits_follow_from_the_facts(facts, limit):
    assert limit in model_card(facts)
    assert limit not in model_card(FACTS)


def test_every_card_says_that_it_is_no_doctor():
    card = model_card(FACTS)
    assert "Not for diagnosis, treatment or triage of anybody" in card
    assert "no physician checked it" in card
    assert "drugs, doses and indications can be wrong" in card


def test_the_yaml_is_read_back_by_the_hubs_own_classes():
    read = ModelCard(model_card(FACTS)).data.to_dict()
    assert read == {
        "base_model": "my-org/base-7b",
        "base_model_relation": "finetune",
        "datasets": ["my-org/huatuo"],
        "language": ["zh"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["medical", "suwen", "sft"],
    }
    assert f"{ModelCard(model_card(FACTS)).data.to_yaml()}\n" == metadata(FACTS)


def test_an_adapter_is_called_one():
    card, read = model_card(but(**ADAPTER)), ModelCard(model_card(but(**ADAPTER))).data
    assert read.base_model_relation == "adapter"
    assert read.library_name == "peft"
    assert read.tags == ["medical", "suwen", "sft", "lora"]
    assert "A LoRA adapter for [my-org/base-7b]" in card
    assert "40,000,000 of 7,600,000,000 parameters were trained." in card
    assert "| trained | LoRA of rank 16, an adapter |" in card
    assert "LoRA of rank 16, merged into the weights" in model_card(but(**ADAPTER | {"adapter": False}))


def test_a_base_and_data_that_nobody_else_can_find_are_not_named_to_the_hub():
    facts = but(base="my-base", base_on_hub=False, base_revision=None, data=(GENERAL,))
    read = ModelCard(model_card(facts)).data.to_dict()
    assert not {"base_model", "base_model_relation", "datasets"} & set(read)
    assert "`my-base` (Qwen3ForCausalLM)" in model_card(facts)


@pytest.mark.parametrize("facts", [FACTS, but(**ADAPTER), but(**ADAPTER, base_on_hub=False)])
def test_the_snippet_is_python(facts):
    (code,) = re.findall(r"```python\n(.*?)```", model_card(facts), re.DOTALL)
    compile(code, "card", "exec")
    assert "max_new_tokens" in code
    assert ("PeftModel" in code) is (facts.adapter and not facts.base_on_hub)  # else transformers finds the base itself


def test_the_licence_follows_from_every_input_and_cites_it():
    card = model_card(FACTS)
    assert "`apache-2.0` of the base stays" in card
    assert "| my-org/base-7b | apache-2.0 | weights |" in card
    assert "| my-org/huatuo | cc-by-4.0 | 118,000 rows |" in card
    assert "| belle.jsonl | cc0-1.0 | 40,000 rows |" in card
    assert "no legal advice" in card


def test_a_base_with_a_name_of_its_own_is_linked():
    read = ModelCard(model_card(but(base_license="qwen"))).data
    assert (read.license, read.license_name) == ("other", "qwen")
    assert read.license_link == "https://huggingface.co/my-org/base-7b"


def test_a_model_made_on_the_spot_has_the_licence_of_its_rows():
    facts = but(made_here=True, base="new:tiny", base_license="", base_on_hub=False, data=(GENERAL,))
    assert license_of(facts).license == "cc0-1.0"
    assert "A model made on the spot with random weights (`new:tiny`)" in model_card(facts)


def test_rows_of_which_nothing_is_known_state_no_licence():
    assert license_of(but(data=(DIALOGUES.model_copy(update={"licenses": {}}), GENERAL))).license == "unknown"


def test_the_command_pins_what_was_read_and_leaves_out_defaults_and_the_machine():
    (command,) = re.findall(r"```bash\n(.*?)```", model_card(FACTS), re.DOTALL)
    assert command == (
        "python -m trainers.sft \\\n"
        f"  --model my-org/base-7b@{'e' * 40} \\\n"
        f"  --data my-org/huatuo@{'c' * 40}:polished_qa,simulated_dialogues \\\n"
        "  --data general=belle.jsonl=0.25 \\\n"
        "  --learning-rate 1e-05 \\\n"
        "  --batch 256 \\\n"
        "  --packing \\\n"
        "  --set trl.adam_beta2=0.95\n"
    )


def test_every_data_set_is_pinned_to_its_own_revision():
    """Two revisions of one set are two sets, and a folder of the same name as a set on the Hub is none."""
    sets = [DIALOGUES.model_copy(update={"revision": digit * 40}) for digit in "12"]
    named = ["my-org/huatuo@v1:polished_qa", "my-org/huatuo@v2:simulated_dialogues", "general=belle.jsonl=0.25"]
    card = model_card(but(data=(*sets, GENERAL), settings={"data": named}))
    assert (
        f"--data my-org/huatuo@{'1' * 40}:polished_qa \\\n  --data my-org/huatuo@{'2' * 40}:simulated_dialogues" in card
    )
    assert "--data general=belle.jsonl=0.25\n" in card


def test_no_folder_of_a_machine_appears():
    settings = {
        "data": ["/home/wang/data/set:polished_qa", "general=/mnt/disk 2/belle.jsonl=0.25"],
        "template": "/home/wang/my.jinja",
        "loss_file": r"C:\Users\wang\x.txt",
    }
    warnings = ("read ~/models/base/config.json twice", "see /home/wang/runs/a/log")
    card = model_card(but(settings=settings, warnings=warnings, base="/data/wang/base", base_on_hub=False))
    assert not re.search(r"wang|/home|/mnt|Users|~/|/data/", card)
    for name in (
        "set:polished_qa",
        "my.jinja",
        "x.txt",
        "config.json",
        "https://huggingface.co/datasets/my-org/huatuo",
    ):
        assert name in card


def test_what_people_wrote_stays_and_what_was_generated_is_replaced():
    held = model_card(but(base_license="qwen", steps_done=10))
    held = (
        held.replace("---\n\n", "extra_gated_prompt: 请说明用途\nmodel-index: []\n---\n\n我们的说明。\n\n", 1)
        + "\n致谢:王医生。\n"
    )
    card = model_card(FACTS, held=held)
    assert card.index("我们的说明。") < card.index("# huatuo1-sft") < card.index("致谢:王医生。")
    assert "Unfinished" not in card
    keys = ModelCard(card).data.to_dict()
    assert keys["extra_gated_prompt"] == "请说明用途"
    assert keys["license"] == "apache-2.0"
    assert keys["base_model"] == "my-org/base-7b"
    assert not {"license_name", "license_link"} & set(keys)  # of the card before
    assert model_card(FACTS, held=card) == card


def test_a_held_card_that_is_broken_is_not_overwritten():
    held = model_card(FACTS).replace("<!-- end of the generated part", "<!-- gone")
    with pytest.raises(ValueError, match="one of the two marks"):
        model_card(FACTS, held=held)


def test_a_card_needs_no_torch():
    if "torch" in sys.modules:
        pytest.skip("another test has imported it")
    model_card(FACTS)
    assert "torch" not in sys.modules


def svg(curves):
    pytest.importorskip("matplotlib")
    from cards.plots import curves_svg

    return curves_svg(curves)


def lines(picture):
    """Colours of the lines that draw a curve, by panel."""
    root = ElementTree.fromstring(picture)
    panels = [
        group for group in root.iter("{http://www.w3.org/2000/svg}g") if (group.get("id") or "").startswith("axes_")
    ]
    strokes = [
        [re.search(r"stroke: (#\w+)", path.get("style"))[1] for path in panel.iter("{http://www.w3.org/2000/svg}path") if "stroke-width: 1.4" in (path.get("style") or "") and path.get("clip-path")]
        for panel in panels
    ]  # fmt: skip
    return [stroke for stroke in strokes if stroke]


def test_the_picture_has_the_same_bytes_twice_and_another_when_a_point_moves():
    assert svg(FACTS.curves) == svg(FACTS.curves)
    moved = FACTS.curves[0].model_copy(update={"points": ((1, 2.25), (2, 1.30), (3, 1.75))})
    assert svg((moved, *FACTS.curves[1:])) != svg(FACTS.curves)


def test_losses_share_a_panel_in_two_colours_and_the_learning_rate_has_its_own():
    assert lines(svg(FACTS.curves)) == [["#0072B2".lower(), "#D55E00".lower()], ["#0072B2".lower()]]


def test_the_picture_is_800_pixels_wide_and_tells_nothing_of_when_or_by_what_it_was_made():
    picture = svg(FACTS.curves)
    width = float(re.search(rb'width="([\d.]+)pt"', picture)[1])
    assert 790 < width * 96 / 72 < 810
    assert b"<dc:date>" not in picture
    assert b"Matplotlib" not in picture


def test_settings_of_the_machine_change_no_picture():
    matplotlib = pytest.importorskip("matplotlib")
    plain = svg(FACTS.curves)
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "black"}):
        assert svg(FACTS.curves) == plain
        assert matplotlib.rcParams["axes.facecolor"] == "black"  # and it changes none of theirs


def test_before_the_first_log_there_is_a_picture_without_lines():
    assert lines(svg((Curve(name="loss", points=()),))) == []
