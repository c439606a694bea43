"""The rehearsal teacher rewrites doctors, plays patient and doctor, checks claims, and gets it wrong at known rates."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import openai
import pytest

from builders.engine.rehearsal.replies import reply
from builders.engine.rehearsal.server import Rehearsal
from builders.engine.switchboard import json_schema
from builders.prompts import data_block, prompt
from schemas.base import Message, Record

QUESTION = "医生您好，我膝盖疼了三天，怎么办？"
ANSWER = (
    "你好，考虑左侧膝骨关节炎。建议口服塞来昔布，每次200mg，一日2次，饭后服用。不能同时饮酒。"
    "避免搔抓患处。不能同时饮酒。欢迎加微信详谈，电话联系我。"
)
FAITHFUL = "考虑左侧膝骨关节炎。建议口服塞来昔布，每次200mg，一日2次，饭后服用。不能同时饮酒。避免搔抓患处。"
CUT = "你的回答不符合要求的格式（turns: Field required）。请只返回符合格式的 JSON 对象。"


class Utterance(Record):
    """A turn as the builders may ask for it."""

    text: str
    end: bool


def asked(name: str, data: dict[str, Any], sample: int = 0) -> dict[str, Any]:
    return {"model": "rehearsal", "seed": sample, "messages": [m.model_dump() for m in prompt(name).messages(data)]}


def text(name: str, data: dict[str, Any], sample: int = 0) -> str:
    return reply(asked(name, data, sample))


def made(name: str, data: dict[str, Any], sample: int = 0) -> Any:
    return json.loads(text(name, data, sample))


# ------------------------------------------------------------------ polish_answer


def polished(sample: int, **more: Any) -> str:
    return text("polish_answer", {"question": QUESTION, "answer": ANSWER, **more}, sample)


def slip_in(said: str) -> str:
    """What is wrong with a rewriting of ANSWER; "" when nothing is."""
    if FAITHFUL in said:
        return "drug" if "可同时服用" in said else ""
    kinds = {
        "amount": ("每次，", "一日，"),
        "negation": ("能同时饮酒", "适当搔抓", "不建议", "不考虑"),
        "side": ("右侧",),
        "frequency": ("一日3次",),
    }
    whole = said.replace("不能同时饮酒", "") if "不能同时饮酒" in said else said
    found = [kind for kind, marks in kinds.items() if any(mark in whole for mark in marks)]
    if found:
        return found[0]
    return "sentence" if said.endswith("。") and "避免搔抓患处。" in said else "cut"


def test_a_polished_answer_keeps_every_medical_sentence_and_drops_repetition_and_advertisement():
    said = next(said for said in map(polished, range(9)) if not slip_in(said))
    assert said.startswith("您好，")
    assert said.count(FAITHFUL) == said.count("不能同时饮酒") == 1
    assert "微信" not in said
    assert re.findall(r"\d+", said) == ["200", "2"]


def test_one_first_draft_in_eight_has_a_slip_of_one_of_seven_kinds():
    slips = Counter(map(slip_in, map(polished, range(3000))))
    wrong = 3000 - slips.pop("")
    assert 300 <= wrong <= 420  # 360 expected; three sigma: 3 * √(3000 * 0.12 * 0.88) = 53
    assert set(slips) == {"amount", "drug", "negation", "side", "frequency", "cut", "sentence"}
    assert all(25 <= count <= 85 for count in slips.values())  # 51 expected of each; three sigma: 21


def test_a_draft_is_mended_except_in_one_case_of_eight_where_it_comes_back_as_it_was():
    draft = "您好，建议口服布洛芬。"
    drafts = [polished(sample, draft=draft, lost=["塞来昔布"], added=["布洛芬"]) for sample in range(800)]
    assert 72 <= drafts.count(draft) <= 128  # 100 expected; three sigma: 3 * √(800 * 0.125 * 0.875) = 28
    assert {slip_in(said) for said in drafts if said != draft} == {""}


def test_a_long_sentence_is_broken_up_before_a_connective_and_a_placeholder_stays():
    answer = "你说的情况多半是慢性胃炎，跟饮食没有规律以及长期熬夜有很大的关系，建议到[医院1]做碳13呼气试验"
    told = {text("polish_answer", {"question": "胃疼", "answer": answer}, sample) for sample in range(9)}
    assert any("关系。建议到[医院1]做碳13呼气试验。" in said for said in told)


# ------------------------------------------------------------------ rewrite_doctor

DIALOGUE = [
    {"n": 0, "speaker": "patient", "text": "孩子咳嗽三天了"},
    {"n": 1, "speaker": "doctor", "text": "你好\n发烧吗"},
    {"n": 2, "speaker": "patient", "text": "不烧"},
    {"n": 3, "speaker": "doctor", "text": "口服氨溴索，一天三次，每次5ml\n别吃凉的"},
    {"n": 4, "speaker": "patient", "text": "谢谢"},
    {"n": 5, "speaker": "doctor", "text": "不客气"},
]
FAITHFUL_TURN = "口服氨溴索，一天三次，每次5ml。别吃凉的。"


def rewritten(sample: int, **more: Any) -> dict[int, str]:
    return {turn["n"]: turn["text"] for turn in made("rewrite_doctor", {"dialogue": DIALOGUE, **more}, sample)["turns"]}


def test_every_doctors_turn_is_rewritten_and_asks_if_and_only_if_it_asked_before():
    drafts = [rewritten(sample) for sample in range(40)]
    whole = [draft for draft in drafts if "发烧吗？" in draft[1] and draft[3].endswith("每次5ml。别吃凉的。")]
    assert len(whole) > 20
    for draft in whole:
        assert set(draft) == {1, 3, 5}
        assert "？" not in draft[3] + draft[5]


@pytest.mark.parametrize(
    ("raw", "ending"),
    [
        ("有痰么", "有痰么？"),
        ("发烧不", "发烧不？"),
        ("多喝水", "多喝水。"),
        ("那没什么", "那没什么"),
        ("？？？", "？？？"),
        ("。。。", "。。。"),
        ("[图片1]", "[图片1]。"),
    ],
)
def test_a_turn_of_few_signs_is_still_a_turn_and_no_other_becomes_a_question(raw, ending):
    dialogue = [{"n": 0, "speaker": "patient", "text": "咳嗽"}, {"n": 1, "speaker": "doctor", "text": raw}]
    drafts = [made("rewrite_doctor", {"dialogue": dialogue}, sample)["turns"] for sample in range(9)]
    assert sum(draft[0]["text"].endswith(ending) for draft in drafts if draft) > 4


def test_a_turn_is_missing_or_too_many_in_one_dialogue_of_a_hundred():
    numbers = Counter(tuple(rewritten(sample)) for sample in range(3000))
    assert set(numbers) == {(1, 3, 5), (1, 3), (1, 3, 5, 6)}
    assert 14 <= numbers[1, 3] + numbers[1, 3, 5, 6] <= 46  # 30 expected; three sigma: 16


def test_one_dialogue_in_eight_has_a_slip_in_one_of_its_turns():
    drafts = [rewritten(sample) for sample in range(1500)]
    faithful = {1: "发烧吗？", 3: FAITHFUL_TURN, 5: "不客气。"}
    wrong = [[n for n, told in draft.items() if n < 6 and not told.endswith(faithful[n])] for draft in drafts]
    assert 142 <= sum(map(bool, wrong)) <= 218  # 180 expected; three sigma: 38
    assert max(map(len, wrong)) == 1
    assert any("一天三次" not in draft[3] and "次，每次5ml" in draft[3] for draft in drafts)


def test_only_the_turns_listed_again_come_back_and_seven_in_eight_are_mended():
    again = [{"n": 3, "draft": "口服氨溴索。", "lost": ["5ml"], "added": []}]
    told = [rewritten(sample, again=again) for sample in range(800)]
    assert {tuple(draft) for draft in told} == {(3,)}
    stubborn = sum(draft[3] == "口服氨溴索。" for draft in told)
    assert 72 <= stubborn <= 128  # 100 expected; three sigma: 28
    assert sum("一天三次，每次5ml。别吃凉的。" in draft[3] for draft in told) == 800 - stubborn


# ------------------------------------------------------------------ expand_dialogue


def expanded(turns: int, sample: int, **more: Any) -> list[dict[str, str]]:
    data = {"question": QUESTION, "answer": FAITHFUL, "turns": turns, **more}
    return made("expand_dialogue", data, sample)["turns"]


def is_spoilt(turns: list[dict[str, str]]) -> bool:
    return turns[0]["text"] != QUESTION or "可同时服用" in turns[-1]["text"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_an_expansion_alternates_has_as_many_doctors_turns_as_asked_for_and_the_whole_answer(count):
    turns = next(turns for sample in range(9) if not is_spoilt(turns := expanded(count, sample)))
    assert [turn["speaker"] for turn in turns] == ["patient", "doctor"] * count
    assert turns[0]["text"] == QUESTION
    doctor = [turn["text"] for turn in turns if turn["speaker"] == "doctor"]
    at = ["".join(doctor).index(sentence) for sentence in re.findall("[^。]+。", FAITHFUL)]
    assert at == sorted(at)
    assert count == 1 or doctor[0].endswith("？")
    assert not re.search(r"\d|药|膝|mg", "".join(turn["text"] for turn in turns[2::2]))


def test_one_expansion_in_twenty_invents_a_drug_or_changes_the_question_by_a_character():
    spoilt = [turns for sample in range(2000) if is_spoilt(turns := expanded(3, sample))]
    assert 70 <= len(spoilt) <= 130  # 100 expected; three sigma: 3 * √(2000 * 0.05 * 0.95) = 29
    changed = [turns[0]["text"] for turns in spoilt if turns[0]["text"] != QUESTION]
    assert 30 <= len(changed) <= 70
    assert {len(QUESTION) - len(question) for question in changed} == {1}


def test_a_spoilt_expansion_is_mended_when_it_is_complained_about():
    spoilt = [sample for sample in range(2000) if is_spoilt(expanded(3, sample))]
    still = sum(is_spoilt(expanded(3, sample, draft="…", lost=[], added=["布洛芬"])) for sample in spoilt)
    assert 2 <= still <= 30  # an eighth of about 100


# ------------------------------------------------------------------ simulate_patient and simulate_doctor

FACTS = {
    "主诉": "上腹隐痛1年，加重3天",
    "持续时间": "3天",
    "过敏史": "对青霉素过敏",
    "既往史": "有高血压病史5年",
    "用药": "自己吃过两片奥美拉唑",
    "恶心": "饭后有恶心",
}
BYE, DOCTORS_BYE = "再见", "祝您健康"
GREETING = "您好，请问您哪里不舒服？"


class Case(NamedTuple):
    """A case and what each of the two is told of it."""

    number: int = 0
    complaint: str = "胃疼"
    findings: tuple[dict[str, str], ...] = ()
    conclusion: str = "十二指肠溃疡"

    @property
    def patient(self) -> str:
        facts = [{"name": name, "value": value} for name, value in FACTS.items()]
        data = {"complaint": self.complaint, "facts": facts, "end": BYE}
        return f"{data_block(data)}\n{GREETING}{self.number}"

    def doctor(self, opening: str) -> str:
        ask = ["持续时间", "过敏史", "既往史", "用药", "恶心", "家族史"]
        advice = "建议口服奥美拉唑，一日2次。少吃辛辣。"
        data = {"conclusion": self.conclusion, "advice": advice, "findings": list(self.findings), "ask": ask}
        return f"{data_block({**data, 'end': DOCTORS_BYE})}\n{opening}{' ' * self.number}"


def turn_request(role: str, first: str, *rest: str) -> dict[str, Any]:
    """The request for a turn of a role: what the user said first, then answer and counter-answer in turn."""
    messages = [Message(role="system", content=prompt(f"simulate_{role}").text), Message(role="user", content=first)]
    for place, said in enumerate(rest):
        messages.append(Message(role="user" if place % 2 else "assistant", content=said))
    return {"model": "rehearsal", "seed": 0, "messages": [message.model_dump() for message in messages]}


def says(role: str, first: str, *rest: str) -> str:
    return reply(turn_request(role, first, *rest))


def consultation(case: Case, longest: int = 8) -> list[str]:
    """What the two say to each other until the doctor has said goodbye, or for the longest time."""
    turns: list[str] = []
    while len(turns) < 2 * longest and not (turns and turns[-1].endswith(DOCTORS_BYE)):
        turns.append(says("patient", case.patient, *turns))
        turns.append(says("doctor", case.doctor(turns[0]), *turns[1:]))
    return turns


@cache
def consultations() -> list[list[str]]:
    return [consultation(Case(number)) for number in range(600)]


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)


def doctors(turns: list[str]) -> list[str]:
    return turns[1::2]


def test_a_consultation_opens_short_asks_concludes_advises_and_ends_with_two_goodbyes():
    whole = [turns for turns in consultations() if turns[-1].endswith(DOCTORS_BYE)]
    assert len(whole) > 500
    for turns in whole:
        assert turns[-2].endswith(BYE)
        assert len(turns[0]) <= 30 or turns[0].endswith("饭后有恶心。")
        assert "十二指肠溃疡" in turns[-3]
        assert "建议口服奥美拉唑，一日2次。少吃辛辣。" in turns[-3]
        assert "？" not in turns[-3]


def test_a_doctor_asks_in_one_to_four_turns_with_one_to_three_questions_each():
    asking = [[said for said in doctors(turns)[:-2] if "？" in said] for turns in consultations()]
    normal = [turns for turns in asking if 0 < len(turns) <= 4]
    assert {len(turns) for turns in normal} == {1, 2, 3, 4}
    assert {said.count("？") for turns in normal for said in turns} == {1, 2, 3}
    for turns in normal:
        questions = re.findall("[^，。？]+？", "".join(turns))
        assert len(questions) == len(set(questions))


def test_what_was_asked_comes_out_in_the_words_of_the_case():
    questions = {
        "这种情况多久了？": "3天",
        "以前对什么东西过敏吗？": "对青霉素过敏",
        "您有什么基础病吗？": "有高血压病史5年",
        "这次吃过什么药？": "自己吃过两片奥美拉唑",
        "会不会恶心？": "饭后有恶心",
        "具体说说怎么不舒服？": "上腹隐痛1年，加重3天",
    }
    case = Case(next(n for n in range(50) if not is_contradicting(n)))
    opening = says("patient", case.patient)
    for question, value in questions.items():
        assert value in says("patient", case.patient, opening, question)
    both = says("patient", case.patient, opening, "多久了？对药物过敏吗？")
    assert "3天" in both
    assert "对青霉素过敏" in both
    assert not any(value in says("patient", case.patient, opening, "脚肿吗？") for value in FACTS.values())


def test_an_open_question_brings_the_next_fact_that_was_not_told():
    case, heard = Case(1), []
    turns = [says("patient", case.patient)]
    for _ in FACTS:
        turns.append("还有别的情况吗？")
        turns.append(says("patient", case.patient, *turns))
        heard.append(turns[-1])
    assert all(any(value in said for said in heard) for value in FACTS.values())


def test_the_patient_leaves_when_the_doctor_has_only_courtesy_to_ask():
    case = Case(1)
    said = says("patient", case.patient, "您好，胃疼。", "考虑胃炎，建议清淡饮食。您还有什么问题吗？")
    assert said.endswith(BYE)


def test_without_a_complaint_the_patient_opens_with_the_first_clause_of_the_first_fact():
    assert any("上腹隐痛1年" in says("patient", Case(number, complaint="").patient) for number in range(3))
    long = "反复咳嗽咳痰两周，夜间明显，伴有低热和盗汗，体重减轻，胃口也不好，睡不着觉"
    openings = [says("patient", Case(number, complaint=long).patient) for number in range(40)]
    assert all(len(said) <= 30 or "高血压" in said for said in openings)
    assert {said[said.index("反复") :] for said in openings if "高血压" not in said} == {
        "反复咳嗽咳痰两周，夜间明显，伴有低热和盗汗。"
    }
    assert says("patient", Case(0, complaint="孩子发烧怎么办？").patient).endswith("孩子发烧怎么办？")


def is_contradicting(number: int) -> bool:
    return any("5天" in said for said in answers_on_duration(number))


def answers_on_duration(number: int) -> list[str]:
    case, asks = Case(number), "这种情况多久了？"
    turns = [says("patient", case.patient), asks]
    turns.append(says("patient", case.patient, *turns))
    turns.append(asks)
    return [turns[2], says("patient", case.patient, *turns)]


def test_three_patients_in_a_hundred_contradict_their_case_and_only_once():
    answers = [answers_on_duration(number) for number in range(1000)]
    wrong = [both for both in answers if "5天" in both[0]]
    assert 14 <= len(wrong) <= 46  # 30 expected; three sigma: 16
    assert all("3天" in both[1] and "5天" not in both[1] for both in wrong)


def test_a_contradicted_symptom_is_denied():
    number = next(number for number in range(500) if is_contradicting(number))
    case = Case(number)
    assert "没有饭后有恶心" in says("patient", case.patient, says("patient", case.patient), "会恶心吗？")


def test_four_patients_in_a_hundred_never_leave():
    advice = "考虑胃炎，建议清淡饮食。"
    said = [says("patient", Case(number).patient, "胃疼。", advice) for number in range(1000)]
    staying = [number for number, text in enumerate(said) if BYE not in text]
    assert 21 <= len(staying) <= 59  # 40 expected; three sigma: 19
    lasting = Case(staying[0])
    assert BYE not in says("patient", lasting.patient, "胃疼。", advice, said[staying[0]], advice)


def test_two_patients_in_a_hundred_tell_everything_at_once():
    openings = [says("patient", Case(number).patient) for number in range(1000)]
    assert 0.007 <= share(["有高血压病史5年" in said for said in openings]) <= 0.033
    assert all("高血压" in said or len(said) <= 30 for said in openings)


def test_four_doctors_in_a_hundred_conclude_without_asking_and_two_betray_the_chart():
    firsts = [says("doctor", Case(number).doctor("胃疼。")) for number in range(1000)]
    early = share(["十二指肠溃疡" in said for said in firsts])
    assert 0.021 <= early <= 0.059
    leaking = [turns for turns in consultations() if any("根据资料" in said for said in turns)]
    assert 3 <= len(leaking) <= 23  # 12 expected of 600; three sigma: 10.3


def test_two_doctors_in_a_hundred_ask_for_ever_and_two_never_say_goodbye():
    late = [f"没注意过{n}" if n % 2 else "还有呢？" for n in range(16)]
    asked = [says("doctor", Case(number).doctor("胃疼。"), *late) for number in range(1000)]
    assert 0.007 <= share(["？" in said for said in asked]) <= 0.033
    parted = [says("doctor", Case(number).doctor("胃疼。"), "考虑胃炎。", "谢谢，再见") for number in range(1000)]
    assert 0.007 <= share([not said.endswith(DOCTORS_BYE) for said in parted]) <= 0.033


def test_a_finding_is_quoted_only_after_its_test_was_proposed():
    cases = [Case(number, findings=({"name": "胃镜", "value": "球部溃疡面"},)) for number in range(60)]
    quoting = 0
    for turns in map(consultation, cases):
        for before, said in pairwise(doctors(turns)):
            quoting += "球部溃疡面" in said
            assert "球部溃疡面" not in said or "建议做一下胃镜，您看方便吗？" in before
    assert 15 <= quoting <= 45  # half of them propose it


def test_a_doctor_without_a_conclusion_sends_the_patient_to_be_seen():
    turns = next(turns for number in range(9) if "门诊" in "".join(turns := consultation(Case(number, conclusion=""))))
    assert "十二指肠" not in "".join(turns)


# ------------------------------------------------------------------ check_claims

GRAPH = [
    {"f": 0, "text": "肺炎 症状 发热"},
    {"f": 1, "text": "肺炎 检查 胸部CT"},
    {"f": 2, "text": "感冒 症状 流涕"},
]


def claims(*texts: str) -> list[tuple[str, str, int]]:
    turns = [{"n": 2 * place + 1, "text": text} for place, text in enumerate(texts)]
    found = made("check_claims", {"turns": turns, "facts": GRAPH})["claims"]
    assert all(claim["text"] in texts[claim["n"] // 2] and len(claim["text"]) <= 60 for claim in found)
    return [(claim["text"], claim["verdict"], claim["f"]) for claim in found]


def test_a_claim_is_supported_contradicted_or_unknown_to_the_graph():
    assert claims("肺炎多有发热。多喝水。", "肺炎不需要做胸部CT。", "像是感冒。", "不仅发热，肺炎还咳嗽。") == [
        ("肺炎多有发热。", "supported", 0),
        ("肺炎不需要做胸部CT。", "contradicted", 1),
        ("像是感冒。", "unknown", -1),
        ("不仅发热，肺炎还咳嗽。", "supported", 0),
    ]


def test_there_are_at_most_eight_claims():
    assert len(claims("".join(f"第{n}种肺炎。" for n in range(20)))) == 8


# ------------------------------------------------------------------ over the wire


def over_http(*requests: dict[str, Any]) -> list[str]:
    async def go() -> list[str]:
        async with (
            Rehearsal() as rehearsal,
            openai.AsyncOpenAI(base_url=rehearsal.url, api_key="none", max_retries=0) as client,
        ):
            return [(await client.chat.completions.create(**one)).choices[0].message.content for one in requests]

    return asyncio.run(go())


def test_every_prompt_gets_the_same_answer_over_http_and_again():
    case = Case(3)
    requests = [
        asked("polish_answer", {"question": QUESTION, "answer": ANSWER}),
        asked("rewrite_doctor", {"dialogue": DIALOGUE}),
        asked("expand_dialogue", {"question": QUESTION, "answer": FAITHFUL, "turns": 3}),
        asked("check_claims", {"turns": [{"n": 1, "text": "肺炎多有发热。"}], "facts": GRAPH}),
        turn_request("patient", case.patient, "胃疼。", "多久了？"),
        turn_request("doctor", case.doctor("胃疼。")),
    ]
    assert over_http(*requests, *requests[::-1]) == [reply(one) for one in (*requests, *requests[::-1])]


def test_a_doctor_asked_for_text_and_end_gives_both_however_the_schema_is_sent():
    schema = json_schema(Utterance)
    for case in map(Case, range(20)):
        for rest in ([], ["考虑胃炎。", "谢谢医生，再见"]):
            plain = turn_request("doctor", case.doctor("胃疼。"), *rest)
            said = {"text": reply(plain), "end": reply(plain).endswith(DOCTORS_BYE)}
            formed = {**plain, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
            last = plain["messages"][-1]
            words = f"\n\nAnswer with one JSON object that fits this JSON schema:\n{json.dumps(schema)}"
            worded = {**plain, "messages": [*plain["messages"][:-1], {**last, "content": last["content"] + words}]}
            assert json.loads(reply(formed)) == json.loads(reply(worded)) == said


def test_an_answer_sent_back_for_its_form_is_given_once_more():
    case = Case(5)
    plain = turn_request("doctor", case.doctor("胃疼。"), "多久了？", "3天。")
    assert reply(turn_request("doctor", case.doctor("胃疼。"), "多久了？", "3天。", "{", CUT)) == reply(plain)


def test_a_data_block_without_its_fields_is_a_bad_request():
    with pytest.raises(openai.BadRequestError, match="KeyError"):
        over_http(asked("polish_answer", {"text": "你好"}))
