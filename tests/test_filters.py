"""Every filter says why not, or nothing; ROUGE-L is the plain formula, only faster."""

import random

import pytest

from builders.engine.filters import (
    Nearest,
    RougeL,
    VerbDiversity,
    beyond_text,
    first_reason,
    fold,
    length,
    opening_verb,
    refuses,
    repeats_itself,
)

REFUSAL = "refusal or AI phrase"
LINK = "link or image"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("头晕", None),  # both ends count
        ("头晕三天了", None),
        ("晕", "too short"),
        ("", "too short"),
        ("   晕 \n", "too short"),  # space around does not help
        ("头晕三天了呢", "too long"),
        ("  头晕三天了  ", None),
    ],
)
def test_a_text_has_a_least_and_a_greatest_length(text, reason):
    assert length(text, least=2, most=5) == reason


@pytest.mark.parametrize(
    "text",
    [
        "作为AI，我不能替代医生。",
        "作为一个AI助手，我建议您就医。",
        "作为ＡＩ语言模型，我没有临床经验。",  # full width
        "作为人工智能助手，以下内容仅供参考。",
        "作为一个人工智能语言模型，我无法诊断。",
        "作为一款大模型，我的知识有限。",
        "作为大语言模型，我不能开处方。",
        "作为一个大型语言模型，我不能开处方。",
        "请记住，我是一个语言模型AI助手，不能提供真正的医疗建议。",
        "我是AI，没有行医资格。",
        "很抱歉，我无法提供具体的用药剂量。",
        "对不起，这个问题我不能回答。",
        "抱歉，没办法判断。",
        "无法回答您的问题。",
        "As an AI, I have no licence.",
        "as an artificial intelligence I cannot examine you",
        "As a language model I may be wrong.",
        "I'm sorry, but I cannot help.",
        "I’m sorry, but there is nothing I can say.",  # the apostrophe that models write
        "I can’t help with that.",
        "I am unable to give a diagnosis.",
        "I can't assist with that request.",
        "I cannot provide medical advice.",
    ],
)
def test_refusals_and_ai_phrases_are_rejected(text):
    assert refuses(text) == REFUSAL


@pytest.mark.parametrize(
    "text",
    [
        "高血压患者可以少量吃党参，但要先测血压。",
        "作为一名医生，我建议您先做心电图。",
        "作为心内科护士，请写一份宣教材料。",
        "这种药孕妇不能吃。",
        "术后三天内无法下床是正常的。",
        "对不起，让您久等了。",
        "人工智能可以辅助判读CT。",
        "作为AIDS患者的家属，我该注意什么？",
        "实验以C57小鼠作为模型动物。",
        "Ultrasound is used as an aid to diagnosis.",
        "Take one tablet as soon as you can.",
        "The patient is sorry to hear that.",
    ],
)
def test_an_answer_that_answers_is_no_refusal(text):
    assert refuses(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "详情见 https://www.nhc.gov.cn/ 的通知。",
        "请登录www.example.com预约挂号。",
        "参见[用药指南](guide)。",
        "![心电图](ecg)",
        '<img src="x">',
        "报告在 report.PDF 里。",
        "把化验单.jpg 的内容写出来",
        "心电图如图所示，请解读。",
        "根据下图判断骨折部位。",
        "这张照片里的皮疹是什么？",
        "描述这段视频中的步态。",
        "请生成一张插图。",
        "画一张肠道示意图。",
        "生成海报前先绘制流程图",
        "请打开链接查看。",
    ],
)
def test_what_a_text_model_can_neither_read_nor_make_is_rejected(text):
    assert beyond_text(text) == LINK


@pytest.mark.parametrize(
    "text",
    [
        "帮我看看心电图报告：窦性心律，ST段压低0.1mV。",
        "CT提示右下肺结节，下一步做什么？",
        "血钾3.2 mmol/L，[K+]偏低要补多少？",
        "画画能缓解焦虑吗？",
        "写一段给孩子听的刷牙故事。",
        "这张处方合理吗？阿莫西林0.5g tid。",
        "Describe the image quality criteria of a chest film.",
    ],
)
def test_words_about_images_are_no_images(text):
    assert beyond_text(text) is None


def test_a_model_caught_in_a_loop_repeats_itself():
    # 30 × 5 = 150 characters, 139 windows of 12, of which only 5 are different
    assert repeats_itself("注意休息。" * 30) == "repeats itself"
    assert repeats_itself("多喝水，早睡觉。" + "建议您及时就医检查，" * 40) == "repeats itself"


def test_a_short_text_may_repeat_itself():
    # 14 × 5 = 70 characters, 59 windows: not yet more than 60
    assert repeats_itself("注意休息。" * 14) is None
    assert repeats_itself("哈哈哈") is None


def test_a_long_text_that_goes_on_is_no_loop():
    numbered = "".join(f"第{number}天血压{120 + number}毫米汞柱，心率{60 + number}次。" for number in range(40))
    assert repeats_itself(numbered) is None


@pytest.mark.parametrize(
    ("text", "folded"), [("ＣＴ检查", "ct检查"), ("HbA1c", "hba1c"), ("５％葡萄糖", "5%葡萄糖"), ("10⁶", "106")]
)
def test_folding_takes_away_width_and_case(text, folded):
    assert fold(text) == folded


def test_the_first_objection_is_the_reason():
    assert first_reason([None, "too short", REFUSAL]) == "too short"
    assert first_reason([None, None]) is None
    assert first_reason([]) is None


@pytest.mark.parametrize(
    ("instruction", "verb"),
    [
        ("解释什么是房颤。", "解释"),
        ("请为糖尿病患者制定一周食谱。", "制定"),
        ("把下面的病历总结成三句话，再翻译成英文。", "总结"),  # the first of two
        ("帮我写一份交班记录", "写"),
        ("帮我起草一份转诊信", "起草"),
        ("高血压能吃党参吗？", None),  # questions have no verb of this kind
        ("请问怎么解释这个指标?", None),
        ("这个结果说明什么呢", None),
        ("孩子发烧三天了", None),
        ("把下面的出院医嘱改写成患者看得懂的话。", "改写"),  # 出院 is no 出
        ("针对腰椎间盘突出患者制定康复训练计划。", "制定"),
        ("出五道儿科选择题。", "出"),
        ("List three causes of anaemia.", "list"),
        ("  Please explain atrial fibrillation.", "explain"),
        ("What is anaemia?", None),
        ("3 causes of anaemia", None),
    ],
)
def test_the_opening_verb_is_what_an_instruction_turns_on(instruction, verb):
    assert opening_verb(instruction) == verb


def test_a_verb_is_free_four_times_and_then_limited_to_its_share():
    verbs = VerbDiversity(share=0.3, free=4)
    for _ in range(4):
        assert verbs.overused("cardiology/nurse", "解释房颤。") is None
        verbs.add("cardiology/nurse", "解释房颤。")
    # 4 of 4, and 4 ≥ 0.3·(4 + 1)
    assert verbs.overused("cardiology/nurse", "解释早搏。") == "解释"
    assert verbs.overused("cardiology/nurse", "总结病历。") is None
    for _ in range(9):
        verbs.add("cardiology/nurse", "房颤要紧吗？")
    # 13 in all: 4 < 0.3·(13 + 1) = 4.2
    assert verbs.overused("cardiology/nurse", "解释早搏。") is None
    verbs.add("cardiology/nurse", "解释早搏。")
    # 14 in all: 5 ≥ 0.3·(14 + 1) = 4.5
    assert verbs.overused("cardiology/nurse", "解释早搏。") == "解释"


def test_verbs_are_counted_for_each_group_alone():
    verbs = VerbDiversity(share=0.3, free=1)
    verbs.add("cardiology/nurse", "解释房颤。")
    assert verbs.overused("cardiology/nurse", "解释早搏。") == "解释"
    assert verbs.overused("cardiology/patient", "解释早搏。") is None


def test_questions_are_never_overused():
    verbs = VerbDiversity(share=0.1, free=0)
    for _ in range(20):
        verbs.add("cardiology/patient", "房颤要紧吗？")
    assert verbs.overused("cardiology/patient", "早搏要紧吗？") is None


@pytest.mark.parametrize(
    ("one", "other", "score"),
    [
        ("高血压吃什么药", "高血压吃什么", 12 / 13),  # LCS 6: 2·6 / (7 + 6)
        ("高血压吃什么药", "高血压吃什么药？", 1.0),  # punctuation is no unit
        ("高血压吃什么药", "药什么吃高血压", 6 / 14),  # LCS 高血压, 3
        ("头晕怎么办", "怎么办头晕", 6 / 10),  # LCS 怎么办
        ("how to treat gout", "how to prevent gout", 6 / 8),  # words: how, to, gout of 4 and 4
        ("How To Treat GOUT", "how to treat gout", 1.0),
        ("做ＣＴ检查", "做CT复查", 6 / 8),  # 做, ct, 检, 查 and 做, ct, 复, 查: LCS 3
        ("CT检查要多少钱", "MRI检查要多少钱", 12 / 14),  # one word differs: LCS 6 of 7 and 7
        ("HbA1c 7.8%", "hba1c 7.8", 1.0),
        ("爱 爱 爱", "爱", 2 / 4),
        ("头晕", "腹泻", 0.0),
        ("？！", "？！", 0.0),  # nothing to compare
    ],
)
def test_rouge_l_is_worked_by_hand(one, other, score):
    rouge_l = RougeL()
    rouge_l.add("first", one)
    found = rouge_l.nearest(other, 0.01)
    assert found.score == pytest.approx(score)
    assert found.key == ("first" if score else "")


def test_in_a_mixed_text_characters_and_words_are_units_each():
    assert len(RougeL().units("做CT检查")) == 4  # 做, CT, 检, 查
    assert len(RougeL().units("CT 检查")) == 3
    assert len(RougeL().units("空腹血糖7.8mmol/L，HbA1c偏高")) == 4 + 3 + 1 + 2  # 7, 8mmol, L; HbA1c


def test_before_the_first_text_nothing_is_near():
    assert RougeL().nearest("高血压吃什么药", 0.1) == Nearest("", 0.0)


def test_the_most_similar_text_is_named_and_the_first_of_equals():
    rouge_l = RougeL()
    for key, text in (("far", "糖尿病吃什么药"), ("near", "高血压吃什么"), ("twin", "高血压吃什么")):
        rouge_l.add(key, text)
    assert rouge_l.nearest("高血压吃什么药", 0.5) == Nearest("near", 12 / 13)


def test_the_cutoff_itself_is_reached_and_just_above_it_nothing_is():
    rouge_l = RougeL()
    rouge_l.add("a", "一二三四五六七甲乙丙")
    # LCS 7 of 10 and 10: 14 / 20
    assert rouge_l.nearest("一二三四五六七子丑寅", 0.7) == Nearest("a", 0.7)
    assert rouge_l.nearest("一二三四五六七子丑寅", 0.7001) == Nearest("", 0.0)


def test_a_pair_exactly_at_a_cutoff_of_whole_percents_is_never_missed():
    missed = []
    for percent in range(2, 101, 2):
        common = percent // 2  # of 50 and 50 units: 2·common / 100 is the cutoff, to the digit
        rouge_l = RougeL()
        rouge_l.add("a", "同" * common + "甲" * (50 - common))
        found = rouge_l.nearest("同" * common + "乙" * (50 - common), percent / 100)
        missed += [] if found == Nearest("a", percent / 100) else [percent]
    assert missed == []


HAN_PARTS = "高血压 糖尿病 冠心病 患者 老人 孩子 怎么办 吃什么药 能不能 做手术 要注意 饮食 检查 多少钱 头晕 发烧"
ENGLISH_PARTS = "how to treat manage hypertension diabetes in children adults with drugs diet after surgery gout"
MIXED_PARTS = f"{HAN_PARTS} CT MRI β受体阻滞剂 HbA1c 7.8 mmol/L ， ＥＣＧ 和"


def plain_units(text):
    """Characters for CJK, words otherwise, read one character at a time."""
    units, word = [], ""
    for character in fold(text):
        han = "\u4e00" <= character <= "\u9fff"
        if character.isalnum() and not han:
            word += character
            continue
        units += [word] if word else []
        units += [character] if han else []
        word = ""
    return units + ([word] if word else [])


def plain_lcs(one, other):
    """The textbook table, row by row."""
    row = [0] * (len(other) + 1)
    for unit in one:
        above = row
        row = [0]
        for at, twin in enumerate(other):
            row.append(above[at] + 1 if unit == twin else max(above[at + 1], row[at]))
    return row[-1]


def corpus(parts, joined_by, count, seed):
    """Texts of a few parts, every third an edit of an earlier one."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        chosen = [rng.choice(parts) for _ in range(rng.randint(2, 7))]
        if number % 3 == 2:
            chosen = list(rng.choice(made))
            chosen[rng.randrange(len(chosen))] = rng.choice(parts)
        made.append(chosen)
    return [joined_by.join(chosen) for chosen in made]


@pytest.mark.parametrize(
    ("parts", "joined_by"),
    [(HAN_PARTS, ""), (ENGLISH_PARTS, " "), (MIXED_PARTS, "")],
    ids=["Chinese", "English", "mixed"],
)
@pytest.mark.parametrize("cutoff", [0.3, 0.7])
def test_rouge_l_finds_what_comparing_with_every_text_finds(parts, joined_by, cutoff):
    texts = corpus(parts.split(), joined_by, 150, seed=7)
    rouge_l, before, hits = RougeL(), [], 0
    for number, text in enumerate(texts):
        units = plain_units(text)
        scores = [2 * plain_lcs(units, other) / max(1, len(units) + len(other)) for other in before]
        best = max(scores, default=0.0)
        found = rouge_l.nearest(text, cutoff)
        if best >= cutoff:
            assert found == Nearest(str(scores.index(best)), best), text
            hits += 1
        else:
            assert found == Nearest("", 0.0), text
        before.append(units)
        rouge_l.add(str(number), text)
    assert 20 < hits < 150  # the corpus has both kinds
