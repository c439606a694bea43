"""Curation of real consultations: bubbles, openings, pictures and bookings, farewells, what a doctor's turn does."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from builders.curation.bubbles import Said, description_first, merge_bubbles
from builders.curation.curate import curate
from builders.curation.farewells import cut_farewells, says_goodbye
from builders.curation.formulas import is_courtesy, substance
from builders.curation.inquiry import act_of, questions_in
from builders.curation.offtopic import depends_on_picture, kind_of, without_offtopic
from builders.engine.errors import Reject
from builders.sources.consultations import Utterance

DATA = Path(__file__).with_name("data")
SPEAKERS = {"患": "patient", "医": "doctor", "报": "system"}


def talk(*lines):
    """「患：…」 and 「医：…」 as bubbles."""
    return [Said(SPEAKERS[line[0]], line[2:]) for line in lines]


def curated(*lines, description=""):
    return curate([Utterance(speaker=SPEAKERS[line[0]], text=line[2:]) for line in lines], description)


def shown(turns):
    return [f"{'患' if turn.speaker == 'patient' else '医'}：{turn.text}" for turn in turns]


def test_bubbles_of_one_speaker_become_one_turn_a_line_each():
    merged = merge_bubbles(talk("患：宝宝咳嗽", "患：三天了，", "医：发烧吗", "患：不烧"))
    assert shown(merged) == ["患：宝宝咳嗽\n三天了，", "医：发烧吗", "患：不烧"]


def test_the_description_opens_and_the_doctors_bare_greeting_goes():
    turns = merge_bubbles(talk("医：您好", "患：您好", "医：发烧吗？", "患：不烧", "医：多喝水"))
    opened = description_first(turns, "孩子咳嗽三天")
    assert shown(opened.turns)[:2] == ["患：孩子咳嗽三天\n您好", "医：发烧吗？"]


def test_a_doctor_who_asks_about_the_description_stays():
    opened = description_first(talk("医：烧到多少度？", "患：39度", "医：先退烧"), "孩子发烧一天")
    assert shown(opened.turns) == ["患：孩子发烧一天", "医：烧到多少度？", "患：39度", "医：先退烧"]


def test_a_description_that_the_patient_repeats_is_said_once():
    for first in ("孩子发烧一天", "医生你好，孩子发烧一天，怎么办"):
        opened = description_first(talk(f"患：{first}", "医：多喝水"), "孩子发烧一天")
        assert shown(opened.turns) == [f"患：{first}", "医：多喝水"]


def test_without_a_description_the_first_complaint_opens():
    opened = description_first(talk("医：您好", "患：医生，孩子拉肚子两天了", "医：拉水吗？"))
    assert (shown(opened.turns)[0], opened.before) == ("患：医生，孩子拉肚子两天了", 1)


def test_what_the_patient_states_before_the_complaint_is_gathered_into_it():
    turns = talk(
        "医：宝宝多大了", "患：11个月", "医：几天了", "患：三天了", "医：有没有痰", "患：有", "医：怎么不好", "患：咳嗽得睡不着", "医：做雾化"
    )  # fmt: skip
    opened = description_first(turns)
    assert shown(opened.turns) == ["患：11个月\n咳嗽得睡不着", "医：做雾化"]
    assert opened.before == 7


def test_a_patient_who_never_says_what_the_matter_is_is_rejected():
    with pytest.raises(Reject, match="no complaint"):
        description_first(talk("医：您好", "患：嗯", "医：发烧吗", "患：没有", "医：多喝水"))


@pytest.mark.parametrize(
    "text",
    ["谢谢", "好的谢谢医生", "不客气，祝宝宝早日康复！", "给个好评吧，谢谢", "还有问题吗？", "您有任何问题可以随时和我联系或留言，我看到后会第一时间回复。",
     "如果没有其他问题，那就结束了，好吗？", "嗯嗯，再见", "知道了，谢谢您", "You're welcome, take care.", "宝宝现在怎么样了？"],
)  # fmt: skip
def test_this_is_goodbye(text):
    assert says_goodbye(text)


@pytest.mark.parametrize(
    "text",
    ["不客气，记得按时吃药", "谢谢医生，那饭前吃还是饭后吃", "没事的", "建议及时就医，咨询专业医生", "好转了就停药", "没有问题的，可以吃", "可以",
     "有情况随时去医院就诊", "Take one tablet, bye."],
)  # fmt: skip
def test_this_is_more_than_goodbye(text):
    assert not says_goodbye(text)


def test_farewells_are_cut_from_the_end_until_the_doctor_says_something():
    turns = talk(
        "患：咳嗽",
        "医：谢谢信任",
        "患：吃什么药",
        "医：止咳糖浆，不客气",
        "患：谢谢",
        "医：不客气",
        "患：再见",
        "医：祝早日康复",
    )
    ended = cut_farewells(turns)
    assert shown(ended.turns) == ["患：咳嗽", "医：谢谢信任", "患：吃什么药", "医：止咳糖浆，不客气"]
    assert (ended.farewells, ended.unanswered) == (4, 0)


def test_a_last_question_that_nobody_answers_is_cut_and_counted():
    ended = cut_farewells(talk("患：咳嗽", "医：多喝水", "患：要不要拍个片子"))
    assert (shown(ended.turns), ended.unanswered) == (["患：咳嗽", "医：多喝水"], 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("有大便图片吗，帮你看看", "picture"),
        ("麻烦您把化验单发过来看一下", "picture"),
        ("图片没有了", "picture"),
        ("语音听不太清楚，请打字吧", "voice"),
        ("怎么挂号呢", "booking"),
        ("我周三上午出诊", "booking"),
        ("可以加个微信吗", "booking"),
        ("满意的话请给个好评", "rating"),
        ("系统会自动关闭对话框", "platform"),
        ("您好，我是您的接诊医生", "platform"),
        ("在吗", "platform"),
        ("？？", "wordless"),
        ("[图片]", "wordless"),
        ("", "wordless"),
    ],
)
def test_this_is_mere_talk(text, kind):
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    "text",
    ["拍个胸片看看", "B超图像上有个结节", "明天去挂盐水", "多拍背，促进排痰", "一分钟呼吸几次", "消化系统不好", "能听到呼噜声吗", "免疫系统会受影响",
     "左侧附件区有囊肿", "平时看视频多吗", "拍了", "没拍", "门诊输液三天", "好的", "谢谢", "吃完送个大便去化验", "我该预约什么科室", "照片上颜色发黄", "吃了好几分钟才咽下去"],
)  # fmt: skip
def test_medical_words_are_never_mere_talk(text):
    assert kind_of(text) is None


def test_a_request_for_a_picture_goes_with_its_answer():
    left = without_offtopic(talk("患：拉肚子", "医：有大便照片么", "患：我刚扔了", "医：拉水吗", "患：没有"))
    assert shown(left.said) == ["患：拉肚子", "医：拉水吗", "患：没有"]
    assert left.dropped == {"picture": 2}


def test_an_answer_with_a_symptom_stays():
    left = without_offtopic(talk("医：有大便照片么", "患：没有，拉得很稀"))
    assert shown(left.said) == ["患：没有，拉得很稀"]


def test_a_question_about_booking_stays_with_the_answer_it_gets():
    lines = ("患：怎么预约你的号", "医：先不用来，药吃完再说")
    assert shown(without_offtopic(talk(*lines)).said) == list(lines)


@pytest.mark.parametrize(
    "lines",
    [
        ("患：孩子拉肚子", "医：从你发的图片看有粘液"),
        ("患：身上起疹子，如图", "医：是湿疹"),
        ("患：那个照片绿色的药是治什么的", "医：抗病毒的"),
        ("患：给您看看孩子拉的图片", "患：", "医：颜色还可以，就是有点奶瓣"),
    ],
)
def test_what_only_a_picture_explains_is_rejected(lines):
    assert depends_on_picture(talk(*lines))
    with pytest.raises(Reject) as verdict:
        curated(*lines)
    assert verdict.value.reason == "depends on a picture"


@pytest.mark.parametrize(
    "lines",
    [
        ("患：心跳快", "医：根据您的心电图结果显示，是窦性心动过速"),
        ("患：咳嗽", "医：发个图片看看吧", "患：没有", "医：那先吃药"),
        ("患：医生看了片子说是肺炎", "医：那要输液"),
        ("患：有照片", "患：", "医：咳嗽几天了？"),
    ],
)
def test_a_picture_that_nothing_hangs_on_does_no_harm(lines):
    assert depends_on_picture(talk(*lines)) == ""


def test_a_consultation_is_curated_from_end_to_end():
    read = curated(
        "医：您好，我是您的辅诊医生，需要询问几个问题，您还在吗？",
        "患：在",
        "患：宝宝咳嗽，",
        "患：有痰",
        "医：有照片吗",
        "患：没有",
        "医：几天了？",
        "患：三天",
        "报：血常规正常",
        "医：做雾化",
        "医：多喝水",
        "患：谢谢",
        "医：不客气",
        "患：??",
    )
    assert shown(read.turns) == ["患：宝宝咳嗽，\n有痰", "医：几天了？", "患：三天", "医：做雾化\n多喝水"]
    assert read.offtopic == {"platform": 2, "picture": 2, "wordless": 1}
    assert (read.bubbles, read.merged, read.opening, read.farewells, read.unanswered) == (13, 2, 0, 2, 0)
    assert (read.first_speaker, read.system, read.described) == ("doctor", 1, False)


def test_a_doctor_who_looks_in_after_goodbye_is_not_the_last_word():
    read = curated(
        "患：宝宝咳嗽三天", "医：做雾化", "医：不客气，再见", "医：宝宝现在怎么样了？", "医：你好，孩子好了吗？"
    )
    assert read.turns[-1].text == "做雾化\n不客气，再见"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "no utterances"),
        (("患：孩子咳嗽三天了", "医：您好", "患：谢谢"), "no exchange"),
        (("医：您好", "患：您好", "医：发烧吗", "患：没有"), "no complaint"),
    ],
)
def test_what_is_no_consultation_is_rejected(lines, reason):
    with pytest.raises(Reject) as verdict:
        curated(*lines)
    assert verdict.value.reason == reason


def labelled(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["inquiry_turns.jsonl", "inquiry_turns_held_back.jsonl"])
def test_nine_of_ten_doctors_turns_are_labelled_as_by_hand(name):
    rows = labelled(name)
    assert Counter(row["act"] for row in rows) == {"ask": 24, "advise": 24, "both": 10, "close": 10}
    for act in ("ask", "advise", "both", "close"):
        those = [row for row in rows if row["act"] == act]
        assert sum(act_of(row["text"]) == act for row in those) >= 0.9 * len(those)


def test_nine_of_ten_real_doctors_turns_are_labelled_as_by_hand(shared_data):
    from benchmarks.curation import labelled as real

    counts = Counter((part, hand == rule) for part, _, hand, rule in real(shared_data))
    for part, total in (("tuning", 251), ("held_back", 67)):
        assert counts[part, True] + counts[part, False] == total
        assert counts[part, True] >= 0.9 * total


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("发烧吗，咳嗽吗？", 2),
        ("今晚先别吃东西，好吗？", 0),
        ("为什么会反复？因为没有吃够疗程", 0),
        ("看看有没有炎症", 0),
        ("您问多久能好，一般一周", 0),
        ("拉肚子不\n拍胸片没有", 2),
        ("Any fever, chills, or cough?", 1),
        ("没什么问题，不用管几天一次", 0),
    ],
)
def test_questions_are_counted_and_rhetoric_is_not(text, asks):
    assert questions_in(text) == asks


def test_courtesy_has_one_reading_however_often_it_is_repeated():
    started = time.process_time()
    for text in (
        "好的" * 29 + "x",
        "谢谢您" * 19 + "药",
        "嗯" * 59 + "疼",
        "okay " * 11 + "q",
        "还有什么问题" * 9 + "疼",
    ):
        assert not is_courtesy(text)
    assert time.process_time() - started < 1


def test_substance_is_what_courtesy_leaves():
    assert substance("您好，孩子咳嗽三天了，谢谢医生") == "孩子咳嗽三天了"


def test_real_consultations_keep_the_patients_words_and_take_turns(shared_data):
    from benchmarks.curation import consultations

    kept, reasons = 0, Counter()
    for one in consultations(shared_data, "chineseblue_cmdd_dev"):
        bubbles = {utterance.text for utterance in one.utterances if utterance.speaker == "patient"}
        try:
            read = curate(one.utterances)
        except Reject as verdict:
            reasons[verdict.reason] += 1
            continue
        kept += 1
        assert [turn.speaker for turn in read.turns] == ["patient", "doctor"] * (len(read.turns) // 2)
        for turn in read.turns[::2]:
            assert set(turn.text.split("\n")) <= bubbles
        assert not says_goodbye(read.turns[-1].text)
    assert kept >= 380
    assert reasons.total() == 413 - kept
