"""Which template a tokenizer gets, and the exact tokens that each shipped one makes."""

import pytest

torch = pytest.importorskip("torch")

from toy_tokenizers import EOS, IM_END, PAD, byte_level, of_words, with_unknown  # noqa: E402
from transformers import ByT5Tokenizer  # noqa: E402

from schemas.base import Message  # noqa: E402
from schemas.settings import InputError  # noqa: E402
from trainers.engine.data import Renderer, Unfit  # noqa: E402
from trainers.engine.templates import Template, adopt, choose_template  # noqa: E402

# fmt: off
WORDS = ["\n", " ", "user", "assistant", "system", "<病人>：", "<HuatuoGPT>：", "<问>：", "<答>：", "<human>:", "<bot>:",
         # 5     6      7         8          9          10            11            12       13        14        15
         "胃", "疼", "多", "久", "三", "天", "查", "吃", "药", "医", "？", "。"]
#         16    17    18    19    20    21    22    23    24    25    26    27
# fmt: on
LINE, SPACE, END = 5, 6, 1  # END is </s>
SYSTEM = Message(role="system", content="医")
QUESTIONS = [Message(role="user", content="胃疼"), Message(role="user", content="三天")]
ANSWERS = [Message(role="assistant", content="多久？"), Message(role="assistant", content="吃药。")]
SINGLE = [QUESTIONS[0], ANSWERS[0]]
TWICE = [QUESTIONS[0], ANSWERS[0], QUESTIONS[1], ANSWERS[1]]


def renderer(template: str, *, max_length: int | None = None) -> Renderer:
    tokenizer = of_words(WORDS)
    adopt(tokenizer, choose_template(tokenizer, template))
    return Renderer(tokenizer, max_length=max_length)


# fmt: off
IDS = {
    "chatml": {
        "system": [3, 9, LINE, 25, 4, LINE],
        "first": [3, 7, LINE, 16, 17, 4, LINE, 3, 8, LINE, 18, 19, 26, 4, LINE],
        "second": [3, 7, LINE, 20, 21, 4, LINE, 3, 8, LINE, 23, 24, 27, 4, LINE],
        "answer": (10, 14),
    },
    "huatuo": {
        "system": [25, SPACE],
        "first": [10, 16, 17, SPACE, 11, 18, 19, 26, END, SPACE],
        "second": [10, 20, 21, SPACE, 11, 23, 24, 27, END, SPACE],
        "answer": (5, 9),
    },
    "huatuo2": {
        "system": [25, LINE],
        "first": [12, 16, 17, LINE, 13, 18, 19, 26, END, LINE],
        "second": [12, 20, 21, LINE, 13, 23, 24, 27, END, LINE],
        "answer": (5, 9),
    },
    "ziya": {
        "system": [25, LINE],
        "first": [14, 16, 17, LINE, 15, 18, 19, 26, END, LINE],
        "second": [14, 20, 21, LINE, 15, 23, 24, 27, END, LINE],
        "answer": (5, 9),
    },
}
# fmt: on


def moved(answer: tuple[int, int], by: int) -> tuple[int, int]:
    return answer[0] + by, answer[1] + by


@pytest.mark.parametrize("name", sorted(IDS))
def test_a_consultation_of_two_turns_has_exactly_these_tokens_and_the_doctors_alone_are_supervised(name):
    by_hand = IDS[name]
    rendered = renderer(name).render([SYSTEM, *TWICE])
    system, first, second = by_hand["system"], by_hand["first"], by_hand["second"]
    assert rendered.ids == system + first + second
    answers = [moved(by_hand["answer"], len(system)), moved(by_hand["answer"], len(system) + len(first))]
    assert rendered.answers == answers
    supervised = [number for number in rendered.labels() if number != -100]
    stop = 4 if name == "chatml" else END
    assert supervised == [18, 19, 26, stop, 23, 24, 27, stop]
    assert rendered.labels()[answers[0][0]] == 18
    assert rendered.dropped == 0


@pytest.mark.parametrize("name", ["chatml", "huatuo2", "ziya"])
def test_a_single_question_needs_no_system_message(name):
    rendered = renderer(name).render(SINGLE)
    assert (rendered.ids, rendered.answers) == (IDS[name]["first"], [IDS[name]["answer"]])


def test_huatuo_says_who_talks_when_nobody_else_does():
    rendered = renderer("huatuo").render(SINGLE)
    assert rendered.text.startswith("以下是患者与医疗助手华佗GPT的对话。")
    assert rendered.text.endswith("。 <病人>：胃疼 <HuatuoGPT>：多久？</s> ")
    assert rendered.ids[-10:] == IDS["huatuo"]["first"]


@pytest.mark.parametrize("name", sorted(IDS))
def test_what_a_server_sends_is_how_the_training_text_begins(name):
    by_hand = IDS[name]
    asked = renderer(name).prompt([SYSTEM, *TWICE[:3]])
    opening = by_hand["second"][: by_hand["answer"][0]]
    assert asked == by_hand["system"] + by_hand["first"] + opening


@pytest.mark.parametrize("name", sorted(IDS))
def test_a_long_consultation_loses_its_oldest_turns_and_keeps_the_system_message(name):
    by_hand = IDS[name]
    short = by_hand["system"] + by_hand["second"]
    rendered = renderer(name, max_length=len(short) + 1).render([SYSTEM, *TWICE])
    assert rendered.ids == short
    assert rendered.answers == [moved(by_hand["answer"], len(by_hand["system"]))]
    assert rendered.dropped == 2


def test_a_consultation_that_fits_to_the_token_stays_whole():
    whole = IDS["chatml"]["first"] + IDS["chatml"]["second"]
    assert renderer("chatml", max_length=30).render(TWICE).ids == whole


def test_as_few_turns_go_as_possible():
    long = [*SINGLE * 9, *TWICE]  # 11 exchanges of 15 tokens
    assert renderer("chatml", max_length=80).render(long).dropped == 12
    assert len(renderer("chatml", max_length=80).render(long).ids) == 75


def test_a_last_exchange_that_does_not_fit_is_unfit():
    with pytest.raises(Unfit, match=r"^longer than max_length: 15 tokens of 14$"):
        renderer("chatml", max_length=14).render(TWICE)


def test_a_prompt_loses_its_oldest_turns_to_fit_the_room():
    chatml = renderer("chatml")
    assert chatml.prompt([SYSTEM, *TWICE[:3]], room=16) == IDS["chatml"]["system"] + IDS["chatml"]["second"][:10]
    with pytest.raises(Unfit, match=r"^longer than the room for a prompt: 16 tokens of 15$"):
        chatml.prompt([SYSTEM, *TWICE[:3]], room=15)


def test_a_question_that_nobody_answers_is_left_out_and_counted():
    rendered = renderer("chatml").render([*SINGLE, QUESTIONS[1]])
    assert (rendered.ids, rendered.dropped) == (IDS["chatml"]["first"], 1)


def test_a_consultation_that_the_doctor_opens_is_rendered_as_it_is():
    rendered = renderer("chatml").render([ANSWERS[0], *TWICE[2:]])
    assert rendered.ids == [3, 8, LINE, 18, 19, 26, 4, LINE, *IDS["chatml"]["second"]]
    assert renderer("chatml").faults([ANSWERS[0], *TWICE[2:]], rendered) is None


def test_nobody_answering_and_an_empty_turn_are_unfit_with_their_reason():
    verdicts = renderer("chatml").render_many(
        [QUESTIONS, [], [QUESTIONS[0], Message(role="assistant", content=" \n")], SINGLE]
    )
    assert [str(verdict) for verdict in verdicts[:3]] == [
        "no answer: nobody writes as assistant",
        "no answer: nobody writes as assistant",
        "an empty turn: message 2, assistant",
    ]
    assert not isinstance(verdicts[3], Unfit)


def test_a_template_that_refuses_a_conversation_says_why_and_the_others_go_on():
    tokenizer = of_words(WORDS)
    strict = "{%- if messages[0].role == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}"
    adopt(tokenizer, Template("strict", strict + choose_template(tokenizer, "chatml").text))
    verdicts = Renderer(tokenizer).render_many([SINGLE, [SYSTEM, *SINGLE], TWICE])
    assert str(verdicts[1]) == "the template refuses it: System role not supported"
    assert [verdicts[0].ids, verdicts[2].ids] == [
        IDS["chatml"]["first"],
        IDS["chatml"]["first"] + IDS["chatml"]["second"],
    ]


def test_people_see_what_is_supervised():
    chatml = renderer("chatml")
    rendered = chatml.render(SINGLE)
    assert chatml.marked(rendered) == (
        "<|im_start|>user\n胃疼<|im_end|>\n<|im_start|>assistant\n【多久？<|im_end|>】\n"
    )
    assert "assistant\n\x1b[7m多久？<|im_end|>\x1b[0m\n" in chatml.marked(rendered, ansi=True)


# --- which template


def test_a_model_with_chatml_tokens_and_no_template_gets_chatml():
    assert choose_template(byte_level(), "auto").name == "chatml"


def test_a_model_without_either_is_told_how_to_name_one():
    with pytest.raises(
        InputError, match=r"toy/with-unknown: it has no chat template; name one with --template: chatml, hua"
    ):
        choose_template(with_unknown(), "auto")


def test_its_own_template_comes_first_when_it_has_generation_marks():
    tokenizer = byte_level()
    tokenizer.chat_template = choose_template(tokenizer, "ziya").text
    assert choose_template(tokenizer, "auto") == Template("own", tokenizer.chat_template)


def test_a_known_family_gets_the_training_form_of_its_template():
    from trl.chat_template_utils import qwen2_5_chat_template

    tokenizer = byte_level()
    tokenizer.chat_template = qwen2_5_chat_template
    chosen = choose_template(tokenizer, "auto")
    assert chosen.name == "own"
    assert "{%- generation %}" in chosen.text


def test_a_template_that_cannot_be_trained_is_refused_by_name_and_chatml_is_taken_where_it_can_be():
    plain = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer = with_unknown()
    tokenizer.chat_template = plain
    with pytest.raises(InputError, match="toy/with-unknown: its own chat template has no generation marks"):
        choose_template(tokenizer, "own")
    with pytest.raises(InputError, match=r"name another with --template: chatml, huatuo, huatuo2, ziya"):
        choose_template(tokenizer, "auto")
    tokenizer = byte_level()
    tokenizer.chat_template = plain
    assert choose_template(tokenizer, "auto").name == "chatml"


@pytest.mark.parametrize(
    ("wanted", "text", "message"),
    [
        ("chatlm", None, r"expected auto, own, chatml, huatuo, huatuo2, ziya or a \.jinja file, got 'chatlm'"),
        ("gone.jinja", None, r"--template gone\.jinja: No such file"),
        ("broken.jinja", "{% for %}", r"--template broken\.jinja: line 1: "),
        ("bare.jinja", "{{ messages }}", r"--template bare\.jinja: it has no \{% generation %\} marks"),
    ],
)
def test_a_template_that_is_none_is_named(tmp_path, wanted, text, message):
    if text is not None:
        (tmp_path / wanted).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        choose_template(byte_level(), wanted)


def test_a_template_of_ones_own_is_known_by_its_files_name(tmp_path):
    text = choose_template(of_words(WORDS), "ziya").text
    (tmp_path / "clinic.jinja").write_text(text, encoding="utf-8")
    assert choose_template(of_words(WORDS), str(tmp_path / "clinic.jinja")) == Template("clinic", text)


def test_a_template_whose_tokens_the_vocabulary_lacks_is_refused():
    with pytest.raises(InputError, match=r"<\|im_start\|> is no token in the vocabulary of toy/with-unknown"):
        choose_template(with_unknown(), "chatml")
    tokenizer = with_unknown()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-sequence token to end an answer with"):
        choose_template(tokenizer, "ziya")


# --- what the tokenizer takes over


def test_the_end_of_turn_becomes_eos_and_padding_is_another_token():
    tokenizer = byte_level()
    assert adopt(tokenizer, choose_template(tokenizer, "chatml")) == (2,)
    assert (tokenizer.eos_token, tokenizer.pad_token) == (IM_END, "<|endoftext|>")
    tokenizer = with_unknown()
    assert adopt(tokenizer, choose_template(tokenizer, "huatuo2")) == (1,)
    assert (tokenizer.eos_token, tokenizer.pad_token) == (EOS, PAD)


def test_padding_is_eos_where_there_is_nothing_else():
    tokenizer = byte_level()
    adopt(tokenizer, choose_template(tokenizer, "ziya"))
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|endoftext|>")


def test_a_template_that_never_ends_an_answer_is_not_adopted():
    with pytest.raises(InputError, match="--template endless: no end-of-turn token between its generation marks"):
        adopt(byte_level(), Template("endless", choose_template(byte_level(), "ziya").text.replace(" + eos_token", "")))


def test_the_template_is_saved_with_the_tokenizer(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = byte_level()
    adopt(tokenizer, choose_template(tokenizer, "chatml"))
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert Renderer(again).render(TWICE) == Renderer(tokenizer).render(TWICE)


def test_a_slow_tokenizer_is_refused_in_words():
    slow = ByT5Tokenizer(name_or_path="toy/slow")
    with pytest.raises(InputError, match=r"--model toy/slow: its tokenizer is a slow one"):
        Renderer(slow)
