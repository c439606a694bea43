"""A card tells the truth about the files it stands beside, and a version about what became of the rows."""

import hashlib
import json

import polars
import pytest
from huggingface_hub import DatasetCard, DatasetCardData

from builders.engine.parquet import ParquetShards
from cards.croissant import croissant
from cards.dataset_card import dataset_card, metadata, table
from cards.facts import BuildFacts, Cell, Lengths, measure
from cards.version import Difference, difference, next_version
from schemas.base import PromptUse, Provenance
from schemas.features import arrow_schema
from schemas.instruction import Instruction

BUILD = BuildFacts(
    config="distilled_instructions",
    builder="distill_instructions",
    code_version="0.1.0",
    license="cc-by-4.0",
    teachers=("gpt-5-mini@openai",),
    prompts=(PromptUse(name="distill_answer.txt", sha256="a" * 64),),
    inputs=("human_seeds.jsonl (sha256 b…)",),
    columns={"output": "The teacher's answer."},
    settings={"rows": 22, "teacher": "gpt-5-mini@openai"},
    coverage={"cardiology/nurse": Cell(asked=12, reached=12), "pediatrics/relative": Cell(asked=12, reached=10)},
    rejected={"near-duplicate": 2, "instruction too similar": 1, "answer: too short": 3},
    calls=30,
    tokens_in=12_345,
    tokens_out=67_890,
    usd=0.1389,
    ledger_digest="d" * 64,
    answered_on="2026-06-30",
)


def row(number, **fields):
    """A row whose instruction has 50 + `number` characters and whose answer ten times `number`."""
    said = {
        "key": f"cardiology/nurse/0000/{number:02d}",
        "department": "cardiology",
        "role": "nurse",
        "character": "心内科责任护士",
        "instruction": "请解释" + "高" * (47 + number),
        "output": "血压" * (5 * number),
        "provenance": Provenance(cluster=f"cluster {number}"),
    }
    return Instruction(**{**said, **fields})


@pytest.fixture
def facts_of(tmp_path):
    """`facts_of(train=[…], test=[…])`: the rows written as a release would, and measured."""

    def measured(build=BUILD, **splits):
        with ParquetShards(tmp_path / build.config, arrow_schema(Instruction)) as shards:
            for split, rows in splits.items():
                for one in rows:
                    shards.add(split, one.record())
        return measure(build, {split: [str(path) for path in paths] for split, paths in shards.files.items()})

    return measured


def release(*rows):
    return polars.DataFrame(rows, schema=["key", "id", "split"], orient="row")


BEFORE = release(("a", "1", "train"), ("b", "2", "train"), ("c", "3", "test"))


@pytest.mark.parametrize(
    ("after", "changes", "version"),
    [
        (BEFORE, Difference(0, 0, 0, 0), "1.4.2"),
        (BEFORE.reverse(), Difference(0, 0, 0, 0), "1.4.2"),  # another order is no difference
        (BEFORE.vstack(release(("d", "4", "train"))), Difference(added=1, removed=0, changed=0, moved=0), "1.5.0"),
        (BEFORE.head(2), Difference(added=0, removed=1, changed=0, moved=0), "2.0.0"),
        (
            release(("a", "9", "train"), ("b", "2", "train"), ("c", "3", "test")),
            Difference(added=0, removed=0, changed=1, moved=0),
            "2.0.0",
        ),
        (
            release(("a", "1", "test"), ("b", "2", "train"), ("c", "3", "test")),
            Difference(added=0, removed=0, changed=0, moved=1),
            "2.0.0",
        ),
        (
            release(("a", "1", "train"), ("b", "9", "test"), ("d", "4", "train"), ("e", "5", "train")),
            Difference(added=2, removed=1, changed=1, moved=1),
            "2.0.0",
        ),
    ],
)
def test_what_became_of_the_rows_decides_the_version(after, changes, version):
    assert difference(BEFORE, after) == changes
    assert next_version("1.4.2", changes, repackaged=False) == version


def test_the_same_rows_in_other_files_are_a_patch_and_other_rows_are_more():
    assert next_version("1.4.2", Difference(0, 0, 0, 0), repackaged=True) == "1.4.3"
    assert next_version("1.4.2", Difference(3, 0, 0, 0), repackaged=True) == "1.5.0"
    assert next_version("1.4.2", Difference(0, 0, 0, 3), repackaged=True) == "2.0.0"


def test_several_rows_of_one_key_are_told_apart_by_their_id():
    twins = release(("a", "1", "train"), ("a", "2", "train"))
    assert difference(twins, twins.reverse()) == Difference(0, 0, 0, 0)
    assert difference(twins, twins.head(1)) == Difference(added=0, removed=1, changed=0, moved=0)
    assert difference(twins.head(1), twins) == Difference(added=1, removed=0, changed=0, moved=0)


@pytest.mark.parametrize("version", ["1.4", "v1.4.2", "latest"])
def test_a_version_that_is_none_is_refused(version):
    with pytest.raises(ValueError):
        next_version(version, Difference(1, 0, 0, 0), repackaged=False)


def test_figures_are_measured_on_the_files(facts_of):
    many = [row(number) for number in range(1, 22)]  # 21 rows: the quantile q is the (20q + 1)th
    alike = row(30, key="pediatrics/relative/0000/00", department="pediatrics", role="relative", intent="etiology")
    facts = facts_of(train=many[:20], test=[many[20]])
    assert facts.splits == {"train": 20, "test": 1}
    assert facts.rows == 21
    assert facts.judged == 27  # and 2 + 1 + 3 rejected
    # 5 %: the 2nd of 10, 20, … 210; 25 %: the 6th; the 11th; the 16th; 95 %: the 20th
    assert Lengths(column="output", p5=20, p25=60, median=110, p75=160, p95=200, longest=210) in facts.lengths
    assert Lengths(column="instruction", p5=52, p25=56, median=61, p75=66, p95=70, longest=71) in facts.lengths
    assert facts.shares["department"] == {"cardiology": 21}
    assert facts.shares["intent"] == {"(none)": 21}
    facts = facts_of(train=[*many, alike, alike.model_copy(update={"key": "pediatrics/relative/0000/01"})])
    assert facts.shares["department"] == {"cardiology": 21, "pediatrics": 2}
    assert facts.shares["role"] == {"nurse": 21, "relative": 2}
    assert facts.shares["intent"] == {"(none)": 21, "etiology": 2}
    assert facts.clusters == 22  # the last two share one


def test_a_quantile_between_two_rows_is_the_nearer_one(facts_of):
    facts = facts_of(train=[row(number) for number in range(1, 5)])  # answers of 10, 20, 30 and 40 characters
    (output,) = (one for one in facts.lengths if one.column == "output")
    # places 0.05·3 = 0.15, 0.25·3 = 0.75, 0.75·3 = 2.25 and 0.95·3 = 2.85, counted from 0
    assert (output.p5, output.p25, output.p75, output.p95) == (10, 20, 30, 40)


def test_a_text_that_never_comes_again_is_measured_and_not_listed_as_a_label(facts_of):
    short = [row(number, instruction=f"请解释第{number}种降压药。") for number in range(1, 22)]
    facts = facts_of(train=short)
    assert "instruction" not in facts.shares
    assert "instruction" in {lengths.column for lengths in facts.lengths}


def test_the_example_is_the_first_row_without_what_speaks_about_it(facts_of):
    example = facts_of(train=[row(3), row(4)]).example
    assert example["id"] == row(3).id
    assert example["output"] == row(3).output
    assert "provenance" not in example
    assert "messages" not in example


def test_the_yaml_block_is_read_by_the_hubs_own_classes(facts_of):
    facts = facts_of(train=[row(number) for number in range(1, 4)], validation=[row(4)])
    card = DatasetCard(dataset_card(facts, "1.2.0"))
    assert isinstance(card.data, DatasetCardData)
    said = card.data.to_dict()
    assert said["license"] == "cc-by-4.0"
    assert said["language"] == ["zh"]
    assert said["size_categories"] == ["n<1K"]
    assert said["configs"] == [
        {
            "config_name": "distilled_instructions",
            "default": True,
            "data_files": [
                {"split": "train", "path": "distilled_instructions/train-*"},
                {"split": "validation", "path": "distilled_instructions/validation-*"},
            ],
        }
    ]
    assert "rehearsal" not in said["tags"]
    assert metadata(facts) in card.content


@pytest.mark.parametrize(
    ("rows", "category"), [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**7, "n>10M")]
)
def test_the_size_category_follows_the_rows(facts_of, rows, category):
    facts = facts_of(train=[row(1)]).model_copy(update={"splits": {"train": rows}})
    assert f"- {category}\n" in metadata(facts)


def test_without_a_licence_the_card_says_that_none_is_stated(facts_of):
    facts = facts_of(build=BUILD.model_copy(update={"license": ""}), train=[row(1)])
    assert "license: unknown\n" in metadata(facts)
    assert "not stated; such rows are not pushed" in dataset_card(facts, "1.0.0")


def test_the_card_states_what_was_measured(facts_of):
    card = dataset_card(facts_of(train=[row(number) for number in range(1, 21)], test=[row(21)]), "1.2.0")
    assert "# Distilled instructions 1.2.0" in card
    assert "30 calls, 12,345 tokens in, 67,890 out, $0.1389" in card
    assert "| train | 20 |" in card
    assert "| test | 1 |" in card
    assert "| output | 20 | 60 | 110 | 160 | 200 | 210 |" in card
    assert "No two rows are near-duplicates of each other." in card
    assert "**department**: cardiology 21" in card
    assert f"`{'a' * 64}`" in card
    assert "| output | The teacher's answer. |" in card


def test_the_card_states_what_was_thrown_away(facts_of):
    card = dataset_card(facts_of(train=[row(number) for number in range(1, 22)]), "1.0.0")
    assert "27 rows were judged, 21 kept" in card
    assert "Too like another row: 3 (11.11%)" in card  # 2 near-duplicates and 1 too similar of 27
    assert "| answer: too short | 3 | 11.11% |" in card
    assert "| near-duplicate | 2 | 7.41% |" in card
    assert card.index("| answer: too short |") < card.index("| near-duplicate |")  # most first


def test_when_nothing_was_thrown_away_the_card_says_so(facts_of):
    facts = facts_of(build=BUILD.model_copy(update={"rejected": {}}), train=[row(1), row(2)])
    assert "Nothing: 2 rows were judged and all were kept." in dataset_card(facts, "1.0.0")


def test_the_coverage_is_a_grid_with_the_gaps_shown(facts_of):
    card = dataset_card(facts_of(train=[row(1)]), "1.0.0")
    assert "22 rows reached of 24 asked for, over 2 cells" in card
    assert "|  | nurse | relative |" in card
    assert "| cardiology | 12 |  |" in card
    assert "| pediatrics |  | 10/12 |" in card


def test_cells_of_one_part_are_a_list(facts_of):
    build = BUILD.model_copy(update={"coverage": {"cardiology": Cell(asked=5, reached=4)}})
    assert "| cardiology | 4/5 |" in dataset_card(facts_of(build=build, train=[row(1)]), "1.0.0")


def test_an_unknown_price_is_said_to_be_unknown(facts_of):
    card = dataset_card(facts_of(build=BUILD.model_copy(update={"usd": None}), train=[row(1)]), "1.0.0")
    assert "price unknown" in card
    assert "$0" not in card


def test_rehearsal_rows_say_so_in_the_text_and_in_the_tags(facts_of):
    rehearsed = row(2, provenance=Provenance(cluster="c", rehearsal=True))
    facts = facts_of(train=[row(1), rehearsed])
    assert facts.rehearsal
    assert "> **Rehearsal rows.**" in dataset_card(facts, "1.0.0")
    assert "- rehearsal\n" in metadata(facts)
    assert "Rehearsal rows" not in dataset_card(facts_of(train=[row(1)]), "1.0.0")


def test_a_table_aligns_numbers_right_and_keeps_its_cells_whole():
    assert table(["科室", "行数"], [("内科|外科", 1_234), ("儿\n科", 5)]) == (
        "| 科室 | 行数 |\n| --- | ---: |\n| 内科\\|外科 | 1,234 |\n| 儿 科 | 5 |"
    )
    assert table(["科室", "行数"], []) == "| 科室 | 行数 |\n| --- | --- |"


def described(facts, folder):
    """croissant.json beside the data files, as a release writes it."""
    files = {
        path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
        for path in sorted((folder / facts.build.config).glob("*.parquet"))
    }
    path = folder / "croissant.json"
    path.write_text(json.dumps(croissant(facts, "1.0.0", files), ensure_ascii=False), encoding="utf-8")
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib and pandas, underneath
def test_croissant_is_valid_and_leads_to_the_rows(facts_of, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    rows = [row(number) for number in range(1, 4)]
    path = described(facts_of(train=rows[:2], test=rows[2:]), tmp_path)
    dataset = mlcroissant.Dataset(jsonld=path)
    assert not dataset.metadata.ctx.issues.errors
    assert str(dataset.metadata.version) == "1.0.0"
    read = list(dataset.records("distilled_instructions_rows"))
    found = {
        one["distilled_instructions_rows/id"].decode(): one["distilled_instructions_rows/output"].decode()
        for one in read
    }
    assert found == {one.id: one.output for one in rows}  # of every split


def test_croissant_names_every_file_with_its_hash_and_size(facts_of, tmp_path):
    said = json.loads(described(facts_of(train=[row(1)], test=[row(2)]), tmp_path).read_text(encoding="utf-8"))
    files = [one for one in said["distribution"] if one["@type"] == "cr:FileObject"]
    assert [one["contentUrl"] for one in files] == [
        "distilled_instructions/test-00000-of-00001.parquet",
        "distilled_instructions/train-00000-of-00001.parquet",
    ]
    for one in files:
        data = (tmp_path / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert one["contentSize"] == f"{len(data)} B"


def test_croissant_says_that_the_data_is_synthetic_and_what_was_rejected(facts_of, tmp_path):
    said = json.loads(described(facts_of(train=[row(1)]), tmp_path).read_text(encoding="utf-8"))
    assert said["rai:hasSyntheticData"] is True
    assert said["prov:wasAttributedTo"] == ["gpt-5-mini@openai"]
    assert "near-duplicate: 2 rows rejected" in said["rai:dataPreprocessingProtocol"]
    assert said["license"] == "cc-by-4.0"
