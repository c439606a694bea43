"""Rows go to Arrow, datasets and polars and come back the same; the three never disagree about a column."""

import json

import datasets
import polars
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders.engine.parquet import ParquetShards
from schemas.base import Figure, PromptUse, Provenance, Row
from schemas.features import arrow_schema, features, from_arrow, polars_schema, to_arrow
from schemas.instruction import Instruction

PIECES = [
    "高血压吃什么药？",
    "血糖 7.8 mmol/L",
    "😷🩺",
    "第一行\n第二行\r\n",
    "\t",
    "“引号”",
    "é",
    "\u3000",
    "𠮷",
    "\u2028",
    "",
]
texts = st.one_of(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), st.text(max_size=20))
spoken = texts.filter(bool)
figures = st.builds(Figure, name=texts, value=st.floats(allow_nan=False, allow_infinity=False))
provenances = st.builds(
    Provenance,
    source=texts,
    source_row=texts,
    license=st.sampled_from(["", "cc-by-4.0"]),
    parents=st.lists(texts, max_size=3).map(tuple),
    prompts=st.lists(st.builds(PromptUse, name=texts, sha256=texts), max_size=2).map(tuple),
    teachers=st.lists(texts, max_size=2).map(tuple),
    calls=st.lists(texts, max_size=3).map(tuple),
    filters=st.lists(figures, max_size=12).map(tuple),
    cluster=texts,
    rehearsal=st.booleans(),
)
instructions = st.builds(
    Instruction,
    origin=st.sampled_from(["distilled", "real", "rewritten", "expanded"]),
    key=texts,
    department=st.sampled_from(["cardiology", "pediatrics"]),
    role=st.sampled_from(["none", "nurse"]),
    character=texts,
    intent=st.none() | st.sampled_from(["etiology", "expenses"]),
    instruction=spoken,
    input=texts,
    output=spoken,
    provenance=provenances,
)
BARE = Instruction(
    key="", department="cardiology", role="none", instruction="高血压能治好吗？", output="多数能控制住。😀\n"
)
FULL = BARE.model_copy(
    update={
        "intent": "treatment_plan",
        "provenance": Provenance(
            parents=("a" * 64, "b" * 64),
            filters=tuple(Figure(name=f"rouge_l_{number}", value=number / 7) for number in range(40)),
        ),
    }
)


def through_arrow(rows):
    return from_arrow(to_arrow(rows, Instruction), Instruction)


def through_datasets(rows):
    return [Instruction.from_record(record) for record in datasets.Dataset(to_arrow(rows, Instruction))]


def through_polars(rows):
    frame = polars.from_arrow(to_arrow(rows, Instruction))
    assert frame.schema == polars_schema(Instruction)
    return [Instruction.from_record(record) for record in frame.to_dicts()]


def through_polars_alone(rows):
    frame = polars.DataFrame([row.record() for row in rows], schema=polars_schema(Instruction))
    return [Instruction.from_record(record) for record in frame.to_dicts()]


@pytest.mark.parametrize("through", [through_arrow, through_datasets, through_polars, through_polars_alone])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(instructions, max_size=3))
@example(rows=[])
@example(rows=[BARE])
@example(rows=[FULL, BARE])
def test_a_row_comes_back_the_same(through, rows):
    assert through(rows) == rows


def test_the_three_schemas_have_the_same_columns_in_the_order_of_the_record():
    names = list(BARE.record())
    assert arrow_schema(Instruction).names == names
    assert list(features(Instruction)) == names
    assert polars_schema(Instruction).names() == names


def test_the_columns_have_the_types_the_annotations_say():
    schema = arrow_schema(Instruction)
    assert schema.field("intent").type == pyarrow.string()  # str | None
    assert schema.field("origin").type == pyarrow.string()  # Literal
    assert schema.field("messages").type == pyarrow.list_(
        pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    )
    provenance = schema.field("provenance").type
    assert provenance.field("rehearsal").type == pyarrow.bool_()
    assert provenance.field("parents").type == pyarrow.list_(pyarrow.string())
    assert provenance.field("filters").type == pyarrow.list_(
        pyarrow.struct([("name", pyarrow.string()), ("value", pyarrow.float64())])
    )


def test_a_file_tells_the_hub_our_types():
    told = json.loads(arrow_schema(Instruction).metadata[b"huggingface"])
    assert datasets.Features.from_dict(told["info"]["features"]) == features(Instruction)


def test_an_annotation_that_is_no_column_is_refused():
    class Loose(Row):
        origin: str = "real"
        form: str = "instruction"
        anything: dict[str, str] = {}  # noqa: RUF012 pydantic copies it

    with pytest.raises(TypeError, match="no column type for dict"):
        arrow_schema(Loose)


def test_a_table_whose_content_was_changed_is_not_read_back():
    table = to_arrow([BARE], Instruction)
    place = table.schema.get_field_index("output")
    forged = table.set_column(place, "output", pyarrow.array(["什么病都能治好。"]))
    with pytest.raises(ValueError, match="id says"):
        from_arrow(forged, Instruction)


def test_load_dataset_reads_a_parquet_file_with_exactly_our_features(tmp_path):
    with ParquetShards(tmp_path / "rows", arrow_schema(Instruction)) as shards:
        for row in (BARE, FULL):
            shards.add("train", row.record())
    paths = [str(path) for path in shards.files["train"]]
    loaded = datasets.load_dataset("parquet", data_files=paths, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features == features(Instruction)
    assert [Instruction.from_record(record) for record in loaded] == [BARE, FULL]
