"""A row is frozen, strict, and named by what it says."""

import hashlib

import pytest
from pydantic import ValidationError

from schemas.base import Figure, Message, PromptUse, Provenance, Row, canonical
from schemas.instruction import Instruction

DISCHARGE = Instruction(
    key="cardiology/nurse/0000/03",
    department="cardiology",
    role="nurse",
    character="心内科责任护士",
    instruction="把下面的出院医嘱改写成患者看得懂的话。",
    input="阿司匹林肠溶片 100mg qd",
    output="这种药每天吃一次，每次一片，饭前整片吞下。",
)
# Content fields only, keys sorted, no spaces, Chinese as it is: written out by hand, so that a change of the rule shows.
DISCHARGE_CONTENT = (
    '{"character":"心内科责任护士","department":"cardiology","form":"instruction","input":"阿司匹林肠溶片 100mg qd",'
    '"instruction":"把下面的出院医嘱改写成患者看得懂的话。","intent":null,"origin":"distilled",'
    '"output":"这种药每天吃一次，每次一片，饭前整片吞下。","role":"nurse"}'
)


def test_the_id_is_the_sha256_of_the_content_fields():
    assert DISCHARGE.id == hashlib.sha256(DISCHARGE_CONTENT.encode()).hexdigest()
    assert DISCHARGE.id == "57758fc22147339e48ea1b903de5300c61a51edf519f6c1e9184a0d03053ce12"


@pytest.mark.parametrize(
    "about",
    [
        {"key": "cardiology/nurse/0007/11"},
        {"provenance": Provenance(source="med_seed.json", calls=("a" * 64,), cluster="c1", rehearsal=True)},
        {"provenance": Provenance(filters=(Figure(name="rouge_l", value=0.43),), license="cc-by-4.0")},
        {"provenance": Provenance(prompts=(PromptUse(name="distill_answer.txt", sha256="b" * 64),))},
    ],
)
def test_key_and_provenance_do_not_change_the_id(about):
    assert DISCHARGE.model_copy(update=about).id == DISCHARGE.id


@pytest.mark.parametrize(
    "content",
    [
        {"department": "neurology"},
        {"role": "patient"},
        {"character": ""},
        {"intent": "treatment_plan"},
        {"instruction": "把下面的出院医嘱改写成患者看得懂的话"},  # one full stop less
        {"input": ""},
        {"output": "这种药每天吃一次。"},
        {"origin": "rewritten"},
    ],
)
def test_every_content_field_changes_the_id(content):
    assert DISCHARGE.model_copy(update=content).id != DISCHARGE.id


def test_equal_values_have_equal_canonical_text_whatever_the_order_of_their_keys():
    assert canonical({"科室": "内科", "a": [1, None]}) == canonical({"a": [1, None], "科室": "内科"})
    assert canonical({"科室": "内科", "a": [1, None]}) == '{"a":[1,null],"科室":"内科"}'


def test_a_field_nobody_declared_is_refused():
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Instruction.model_validate({**DISCHARGE.model_dump(), "severity": "mild"})


@pytest.mark.parametrize("field", ["instruction", "output"])
def test_a_row_without_question_or_answer_is_refused(field):
    with pytest.raises(ValidationError, match=field):
        Instruction.model_validate({**DISCHARGE.model_dump(), field: ""})


def test_an_origin_nobody_declared_is_refused():
    with pytest.raises(ValidationError, match="origin"):
        Instruction.model_validate({**DISCHARGE.model_dump(), "origin": "copied"})


def test_a_row_never_changes():
    with pytest.raises(ValidationError, match="frozen"):
        DISCHARGE.output = "改过的回答"
    with pytest.raises(ValidationError, match="frozen"):
        DISCHARGE.provenance.cluster = "c2"


def test_the_input_follows_the_instruction_on_a_line_of_its_own():
    assert DISCHARGE.messages() == [
        Message(role="user", content="把下面的出院医嘱改写成患者看得懂的话。\n阿司匹林肠溶片 100mg qd"),
        Message(role="assistant", content="这种药每天吃一次，每次一片，饭前整片吞下。"),
    ]


def test_without_input_the_instruction_stands_alone():
    row = DISCHARGE.model_copy(update={"instruction": "高血压患者能吃党参吗？", "input": ""})
    assert [said.content for said in row.messages()] == ["高血压患者能吃党参吗？", row.output]


def test_a_family_without_a_conversation_says_so_and_has_no_messages_column():
    class Fact(Row):
        origin: str = "real"
        form: str = "instruction"
        text: str

    fact = Fact(key="kg/1", text="青光眼属于眼科。")
    with pytest.raises(TypeError, match="Fact has no conversation"):
        fact.messages()
    assert "messages" not in fact.record()


def test_a_record_is_the_id_the_fields_and_the_messages():
    record = DISCHARGE.record()
    assert list(record) == ["id", *Instruction.model_fields, "messages"]
    assert record["id"] == DISCHARGE.id
    assert record["messages"][1] == {"role": "assistant", "content": DISCHARGE.output}
    assert Instruction.from_record(record) == DISCHARGE


def test_a_record_without_an_id_is_read_as_it_stands():
    assert Instruction.from_record(DISCHARGE.model_dump(mode="json")) == DISCHARGE


def test_a_content_that_no_longer_matches_its_id_is_refused():
    forged = {**DISCHARGE.record(), "output": "这种药每天吃三次。"}
    with pytest.raises(ValueError, match=f"row 'cardiology/nurse/0000/03': id says {DISCHARGE.id}"):
        Instruction.from_record(forged)
