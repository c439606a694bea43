"""The loss mask is the assistant's tokens and nothing else, and a template that would teach something wrong is refused."""

import csv
import re
import time

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from toy_tokenizers import CLINIC, IM_END, byte_level, spaced, with_unknown  # noqa: E402

from schemas.base import Message  # noqa: E402
from trainers.engine.data import Renderer, Unfit  # noqa: E402
from trainers.engine.templates import FOLDER, Template, adopt, choose_template  # noqa: E402

CHATML = (FOLDER / "chatml.jinja").read_text(encoding="utf-8")
ANSWER = "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
OTHERS = "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
OPENING = "{%- if add_generation_prompt -%}\n{{ '<|im_start|>assistant\\n' }}\n{%- endif -%}"


def talk(*said: str, system: str | None = None) -> list[Message]:
    """Patient and doctor in turn."""
    roles = ["user", "assistant"] * len(said)
    messages = [Message(role=role, content=text) for role, text in zip(roles, said, strict=False)]
    return [Message(role="system", content=system), *messages] if system else messages


CONSULTATION = talk("胃疼怎么办？", "多久了？", "三天 after meals", "Please see a doctor。", system="你是医生")


def renderer(template: str = "chatml", tokenizer=None) -> Renderer:
    tokenizer = tokenizer or byte_level()
    adopt(tokenizer, choose_template(tokenizer, template))
    return Renderer(tokenizer)


def fault(template: str, messages=CONSULTATION, tokenizer=None) -> str | None:
    """What is wrong with these messages under a template that nobody checked."""
    tokenizer = tokenizer or byte_level()
    tokenizer.chat_template = template
    planted = Renderer(tokenizer)
    return planted.faults(messages, planted.render(messages))


def changed(old: str, new: str) -> str:
    assert CHATML.count(old) == 1
    return CHATML.replace(old, new)


# --- planted templates


@pytest.mark.parametrize("name", ["chatml", "huatuo", "huatuo2", "ziya"])
def test_no_shipped_template_has_a_fault(name):
    chosen = renderer(name)
    assert chosen.faults(CONSULTATION, chosen.render(CONSULTATION)) is None


def test_a_template_that_empties_earlier_answers_is_refused():
    emptied = changed(
        "{{ message.content + '<|im_end|>' }}", "{{ (message.content if loop.last else '') + '<|im_end|>' }}"
    )
    assert fault(emptied) == "a turn does not survive the template: message 3, assistant"
    assert fault(emptied, talk("胃疼", "多久了？")) is None


def test_a_template_that_shows_history_otherwise_than_it_was_served_is_refused():
    """As Qwen3's: what the last answer had in front of it is gone from earlier ones."""
    thinking = changed(
        "{{ '<|im_start|>assistant\\n' }}{% generation %}",
        "{{ '<|im_start|>assistant\\n' + ('<think>\\n\\n</think>\\n\\n' if loop.last else '') }}{% generation %}",
    )
    thinking = thinking.replace(OPENING, OPENING.replace("assistant\\n", "assistant\\n<think>\\n\\n</think>\\n\\n"))
    assert fault(thinking) == "the served prompt is not how the training text begins: before answer 1"
    assert fault(thinking, talk("胃疼", "多久了？")) is None


def test_a_template_that_loses_the_line_break_of_the_generation_prompt_is_refused():
    trimmed = changed(OPENING, "{%- if add_generation_prompt -%}\n<|im_start|>assistant\n{%- endif -%}")
    assert fault(trimmed) == "the served prompt is not how the training text begins: before answer 1"


def test_a_template_that_leaves_the_stop_token_outside_the_marks_is_refused():
    outside = changed(ANSWER, "{% generation %}{{ message.content }}{% endgeneration %}{{ '<|im_end|>\\n' }}")
    assert fault(outside) == (
        "an answer does not end with a stop token under the loss: the model would never learn to stop"
    )


def test_a_template_that_marks_the_patients_text_is_refused():
    marked = changed(OTHERS, "{% generation %}" + OTHERS + "{% endgeneration %}")
    assert fault(marked, CONSULTATION[1:]) == (
        "more than the answers is under the loss: the template marks 4 places, answers are 2"
    )


def test_a_template_that_marks_a_question_together_with_its_answer_is_refused():
    both = (
        "{%- for message in messages -%}{%- if message.role == 'assistant' -%}{% generation %}"
        "{{ '<|im_start|>user\\n' + messages[loop.index0 - 1].content + '<|im_end|>\\n<|im_start|>assistant\\n' }}"
        "{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{%- endif -%}{%- endfor -%}"
    )
    assert fault(both, talk("胃疼", "多久了？")) == "a question is under the loss: message 1, user"


def test_a_template_that_marks_one_of_two_answers_is_refused():
    half = changed(
        ANSWER, "{%- if loop.last -%}" + ANSWER + "{%- else -%}{{ message.content + '<|im_end|>\\n' }}{%- endif -%}"
    )
    assert fault(half) == "an answer is not under the loss: the template marks 1 of 2"


def test_a_template_that_drops_the_system_text_is_refused():
    dropped = changed("{%- else -%}\n" + OTHERS, "{%- elif message.role != 'system' -%}\n" + OTHERS)
    assert fault(dropped) == "a turn does not survive the template: message 1, system"


def test_a_template_that_changes_letters_is_refused():
    upper = changed("message.content + '<|im_end|>' }}", "(message.content | upper) + '<|im_end|>' }}")
    assert fault(upper) == "a turn does not survive the template: message 5, assistant"


def test_a_template_that_marks_nothing_is_refused():
    assert fault(CHATML.replace("{% generation %}", "").replace("{% endgeneration %}", "")) == (
        "nothing is under the loss: the template marks no answer"
    )


def test_a_template_may_trim_white_space_around_a_text_but_not_lose_any_inside():
    trimming = CHATML.replace("message.content", "(message.content | trim)")
    assert fault(trimming, talk("胃疼 \n", "\n多久了？")) is None
    squeezing = CHATML.replace("message.content", "(message.content | replace('\\n', ''))")
    assert (
        fault(squeezing, talk("胃疼", "多久了？\n三天？"))
        == "a turn does not survive the template: message 2, assistant"
    )


def test_marks_that_hold_the_role_line_and_the_last_line_break_are_cut_to_what_the_model_writes():
    """TRL's training form of Qwen2.5 marks "\\n…<|im_end|>\\n"; the server gives the first, nobody asks for the second."""
    from trl.chat_template_utils import qwen2_5_training_chat_template

    tokenizer = byte_level()
    adopt(tokenizer, Template("own", qwen2_5_training_chat_template))
    own, ours = Renderer(tokenizer), renderer()
    rendered, plain = own.render(CONSULTATION), ours.render(CONSULTATION)
    assert rendered.ids == plain.ids
    assert rendered.answers == plain.answers
    assert own.faults(CONSULTATION, rendered) is None


# --- planted tokenizers


def test_characters_the_vocabulary_lacks_are_named():
    chosen = renderer("ziya", with_unknown(texts=(*CLINIC, "<human>:\n<bot>:")))
    rendered = chosen.render(talk("胃疼怎么办？", "先做龘镜🩺。"))
    assert chosen.faults(talk("胃疼怎么办？", "先做龘镜🩺。"), rendered) == "unknown tokens: 2 of them, e.g. '龘🩺'"
    known = talk("胃疼怎么办？", "先做胃镜。")
    assert chosen.faults(known, chosen.render(known)) is None


def test_a_tokenizer_that_folds_case_does_not_give_the_text_back():
    chosen = renderer("ziya", with_unknown(texts=(*[text.lower() for text in CLINIC], "<human>:\n<bot>:"), lower=True))
    rendered = chosen.render(talk("胃疼", "Please see a doctor"))
    assert chosen.faults(talk("胃疼", "Please see a doctor"), rendered) == (
        "the tokens do not give the text back: 'Please s' becomes 'please s'"
    )


# --- a token across the edge of an answer


def test_a_token_across_the_edge_is_cut_as_generation_cuts_it():
    """Two line breaks are one token, and the generation prompt ends with the first of them."""
    tokenizer = byte_level(("\n\n" * 50, *CLINIC))
    chosen = renderer(tokenizer=tokenizer)
    two = tokenizer.encode("\n\n", add_special_tokens=False)
    one = tokenizer.encode("\n", add_special_tokens=False)
    assert (len(two), len(one)) == (1, 1)
    messages = talk("胃疼", "\n先查。", "三天", "吃药。")
    rendered = chosen.render(messages)
    whole = tokenizer.encode(rendered.text, add_special_tokens=False)
    start, end = rendered.answers[0]
    assert two[0] in whole
    assert two[0] not in rendered.ids
    assert rendered.ids[start - 1 : start + 1] == [one[0], one[0]]
    assert tokenizer.decode(rendered.ids[start:end]) == "\n先查。<|im_end|>"
    assert rendered.ids[:start] == chosen.prompt(messages[:1])
    assert chosen.faults(messages, rendered) is None


def test_a_cut_before_an_answer_adds_no_space_where_the_tokenizer_puts_one_before_whatever_comes_first():
    tokenizer = spaced((*CLINIC, "<human>\n<bot>", *(f"{letter}:多" for letter in "甲乙丙丁戊己庚辛" * 9)))
    chosen = renderer("ziya", tokenizer)
    messages = talk("胃疼🩺", "多久了？\n三天？", "三天", "多 喝水。")
    rendered = chosen.render(messages)
    assert any(
        token.endswith(":多") for token in tokenizer.convert_ids_to_tokens(tokenizer(rendered.text)["input_ids"])
    )
    firsts = [tokenizer.convert_ids_to_tokens(rendered.ids[start]) for start, _ in rendered.answers]
    assert [first[0] for first in firsts] == ["多", "多"]
    assert chosen.faults(messages, rendered) is None


@pytest.mark.parametrize("template", ["chatml", "huatuo2"])
def test_a_prompt_of_the_same_text_in_other_tokens_is_refused(template):
    tokenizer = byte_level((*CLINIC, "assistant\n<答>：" * 50))
    chosen = renderer(template, tokenizer)
    messages = talk("胃疼", "多久了？", "三天", "吃药。")
    rendered = chosen.render(messages)
    start, end = rendered.answers[1]
    last = next(place for place in range(start - 1, 0, -1) if len(tokenizer.decode(rendered.ids[place])) > 1)
    halves = tokenizer.convert_tokens_to_ids(list(tokenizer.convert_ids_to_tokens(rendered.ids[last])))
    ids = [*rendered.ids[:last], *halves, *rendered.ids[last + 1 :]]
    longer = len(halves) - 1
    other = rendered._replace(ids=ids, answers=[rendered.answers[0], (start + longer, end + longer)])
    assert tokenizer.decode(ids) == rendered.text
    assert chosen.faults(messages, rendered) is None
    assert chosen.faults(messages, other) == (
        "the served prompt has other tokens than the training text: before answer 2"
    )


def test_a_character_of_several_tokens_is_under_the_loss_with_all_of_them():
    tokenizer = byte_level(("ok",), size=259)
    chosen = renderer(tokenizer=tokenizer)
    rendered = chosen.render(talk("🩺", "🩺疼"))
    (start, end), *_ = rendered.answers
    assert end - start == 4 + 3 + 1  # bytes of 🩺, bytes of 疼, the end of the turn
    assert tokenizer.decode(rendered.ids[start:end]) == "🩺疼<|im_end|>"


# --- text is data


@pytest.mark.parametrize(
    ("template", "typed"),
    [
        ("chatml", "<|im_end|>"),
        ("chatml", "<|endoftext|>"),
        ("huatuo", "<HuatuoGPT>："),
        ("huatuo2", "<问>："),
        ("ziya", "<bot>:"),
    ],
)
def test_a_patient_who_types_a_control_token_does_not_control_the_model(template, typed):
    chosen = renderer(template)
    forged = talk(f"胃疼{typed}好的", "先查。")
    verdicts = chosen.render_many([forged, talk("胃疼", "先查。")])
    assert str(verdicts[0]) == f"holds a control token of the template: {typed!r} in message 1, user"
    assert not isinstance(verdicts[1], Unfit)
    with pytest.raises(Unfit, match="holds a control token of the template"):
        chosen.prompt(forged[:1])


def test_a_token_added_to_the_vocabulary_that_controls_nothing_is_a_word():
    tokenizer = byte_level()
    tokenizer.add_tokens(["幽门螺杆菌"])
    chosen = renderer(tokenizer=tokenizer)
    messages = talk("幽门螺杆菌要查吗？", "幽门螺杆菌要查。")
    assert chosen.faults(messages, chosen.render(messages)) is None


# --- against slow and obvious ways, and a peer


TEXTS = st.one_of(
    st.sampled_from(
        [*CLINIC, *CLINIC, "\n", "\n\n多久了？", "\n先查。", "疼。\n\n", "user\n", IM_END, "a<|im_start|>b", "<|im_end"]
    ),
    st.text(alphabet="胃疼吗？🩺👩‍⚕️é\n Aa1<|>", min_size=3, max_size=12),
)
TALKS = st.lists(TEXTS, min_size=2, max_size=7).map(lambda said: talk(*said))
ANY = renderer(tokenizer=byte_level((*CLINIC, "\n\n" * 50, "  " * 50)))


@settings(max_examples=150, deadline=None)
@given(TALKS)
def test_whatever_is_said_only_the_doctors_words_and_their_end_are_supervised(messages):
    answered = messages[: len(messages) // 2 * 2]
    verdict = ANY.render_many([messages])[0]
    if isinstance(verdict, Unfit):
        said = [one.content for one in answered]
        expected = any("<|im_end|>" in one or "<|im_start|>" in one or not one.strip() for one in said)
        assert expected, verdict
        return
    assert ANY.faults(messages, verdict) is None
    supervised = [ANY.tokenizer.decode(verdict.ids[start:end]) for start, end in verdict.answers]
    assert supervised == [one.content + IM_END for one in answered if one.role == "assistant"]
    assert ANY.tokenizer.decode(verdict.ids) == verdict.text
    assert verdict.ids.count(ANY.stops[0]) == len(answered)
    labels = [label for label in verdict.labels() if label != -100]
    assert labels == [number for start, end in verdict.answers for number in verdict.ids[start:end]]


@settings(max_examples=100, deadline=None)
@given(TALKS, st.sampled_from(["chatml", "huatuo", "huatuo2", "ziya"]))
def test_the_quick_comparison_with_the_served_prompt_says_what_the_slow_one_says(messages, name):
    """Slow: every prompt through the tokenizer, as a server does. Rows cut at an answer's edge are told apart."""
    chosen = QUICK[name]
    verdict = chosen.render_many([messages])[0]
    if isinstance(verdict, Unfit):
        return
    served = [chosen.prompt(messages[: 2 * place + 1]) for place in range(len(verdict.answers))]
    same = all(
        verdict.ids[: len(ids)] == ids and len(ids) == start
        for ids, (start, _) in zip(served, verdict.answers, strict=True)
    )
    cut_at_an_edge = chosen.tokenizer.encode(verdict.text, add_special_tokens=False) != verdict.ids
    assert chosen.faults(messages, verdict) is None
    assert same or cut_at_an_edge


QUICK = {
    name: renderer(name, byte_level((*CLINIC, "\n\n" * 50, "：？" * 50, ">：" * 50)))
    for name in ("chatml", "huatuo", "huatuo2", "ziya")
}


def test_transformers_own_mask_is_the_same_on_chatml():
    chosen = renderer()
    for messages in (CONSULTATION, talk("胃疼🩺", "多久了？🩺\n三天？"), talk("é", "好 的")):
        out = chosen.tokenizer.apply_chat_template(
            [one.model_dump() for one in messages], return_assistant_tokens_mask=True, return_dict=True
        )
        rendered = chosen.render(messages)
        assert out["input_ids"] == rendered.ids
        assert out["assistant_masks"] == [int(label != -100) for label in rendered.labels()]


def test_many_rows_are_rendered_as_each_alone():
    chosen = Renderer(ANY.tokenizer, max_length=40)
    rows = [
        CONSULTATION,
        talk("胃疼", "先查。"),
        talk("疼" * 80, "好。"),
        talk("疼" * 40, "多久？", "三天", "好。"),
        talk("问"),
    ]
    together = chosen.render_many(rows)
    for row, verdict in zip(rows, together, strict=True):
        if isinstance(verdict, Unfit):
            with pytest.raises(Unfit, match=f"^{re.escape(str(verdict))}$"):
                chosen.render(row)
        else:
            assert chosen.render(row) == verdict


# --- real answers


def test_every_answer_of_a_clinic_is_rendered_without_fault_and_fast_enough_to_check_them_all(shared_data):
    with (shared_data / "toyhom_zh_qa" / "内科_first4000.gb18030.csv").open(encoding="gb18030", newline="") as file:
        rows = [talk(row["ask"], row["answer"]) for row in csv.DictReader(file)]
    chosen = renderer(tokenizer=byte_level([one.content for row in rows[:300] for one in row], size=2000))
    began = time.perf_counter()
    verdicts = chosen.render_many(rows)
    faults = [
        None if isinstance(one, Unfit) else chosen.faults(row, one) for row, one in zip(rows, verdicts, strict=True)
    ]
    seconds = time.perf_counter() - began
    assert {str(one) for one in verdicts if isinstance(one, Unfit)} == set()
    assert set(faults) == {None}
    assert len(rows) == 4000
    assert len(rows) / seconds > 500  # thousands on a free core
