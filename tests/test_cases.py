"""Case files: from a knowledge graph, and from consultations that were held."""

import itertools

import pytest

from builders.cases.from_consultation import case_from_consultation
from builders.cases.from_graph import CHECKS, DEPARTMENTS, MAN, SYMPTOMS, WOMAN, cases_from_graph
from builders.engine.errors import Reject
from builders.sources.consultations import Consultation, Utterance
from builders.sources.knowledge import Graph, Triple


def disease(name, department, symptoms, *, checks=("血常规",), ways=("药物治疗",)):
    return [
        *(Triple(name, "症状", symptom) for symptom in symptoms),
        Triple(name, "科室", department),
        *(Triple(name, "检查项目", check) for check in checks),
        *(Triple(name, "治疗方法", way) for way in ways),
    ]


GRAPH = Graph(
    [
        *disease("慢性胃炎", "消化内科", ["恶心", "上腹痛", "食欲不振", "嗳气"], checks=("胃镜", "便常规")),
        *disease("偏头痛", "神经内科", ["恶心", "畏光", "头痛", "眩晕"]),
        *disease("小儿支气管炎", "儿科", ["咳嗽", "发热", "喘息", "恶心"]),
        *disease("前列腺增生", "泌尿外科", ["尿频", "尿急", "尿痛", "腰酸"]),
        *disease("急性阴道炎", "妇科", ["白带增多", "尿痛", "瘙痒", "腰酸"]),
        *disease("失血性休克", "急诊科", ["心慌", "出汗", "口渴", "头晕"]),
        *disease("风疹", "皮肤科", ["皮疹", "发热"]),
        *disease("肺癌", "肿瘤科", ["咳嗽", "胸痛", "消瘦", "发热"]),
    ]
)


def by_diagnosis(seed):
    return {case.diagnosis: case for case in cases_from_graph(GRAPH, seed, source="graph", license="MIT")}


def value(case, name):
    return next((fact.value for fact in case.facts if fact.name == name), None)


def test_the_same_seed_gives_the_same_cases_and_another_seed_others():
    assert list(cases_from_graph(GRAPH, 1)) == list(cases_from_graph(GRAPH, 1))
    assert by_diagnosis(1)["慢性胃炎"] != by_diagnosis(2)["慢性胃炎"]


def test_emergencies_cancers_and_diseases_of_two_symptoms_make_no_case():
    assert set(by_diagnosis(1)) == {"慢性胃炎", "偏头痛", "小儿支气管炎", "前列腺增生", "急性阴道炎"}


def test_a_case_says_what_the_graph_says():
    case = by_diagnosis(3)["慢性胃炎"]
    assert (case.id, case.department, case.source, case.license) == ("慢性胃炎/3", "消化内科", "graph", "MIT")
    assert case.advice == "建议面诊，完善胃镜、便常规。治疗以药物治疗为主，具体方案遵医嘱。"
    assert value(case, "主诉").endswith(value(case, "持续时间"))
    assert value(case, "持续时间") in ("3个月", "半年", "1年", "2年", "5年")


def test_the_patient_knows_neither_diagnosis_nor_checks():
    for case in by_diagnosis(4).values():
        told = " ".join(fact.value for fact in case.facts_for("patient"))
        assert case.diagnosis not in told
        assert "胃镜" not in told
        assert [fact.name for fact in case.facts_for("doctor")] == ["常用检查"]


def test_no_symptom_is_both_there_and_not_there():
    for seed in range(20):
        for case in cases_from_graph(GRAPH, seed):
            names = [fact.name for fact in case.facts]
            assert len(names) == len(set(names))
            absent = [fact.name for fact in case.facts if fact.value == "没有"]
            assert not set(absent) & set(GRAPH.tails(case.diagnosis, "症状"))


def test_age_and_sex_fit_the_disease():
    for seed in range(20):
        cases = by_diagnosis(seed)
        assert 2 <= int(value(cases["小儿支气管炎"], "年龄").removesuffix("岁")) <= 12
        assert cases["小儿支气管炎"].complaint.startswith("孩子")
        assert value(cases["前列腺增生"], "性别") == "男"
        assert value(cases["急性阴道炎"], "性别") == "女"
        assert value(cases["急性阴道炎"], "持续时间") in ("半天", "1天", "2天", "3天", "5天")


def test_no_man_is_asked_about_a_womans_symptoms_in_a_real_graph(shared_data):
    graph = Graph.read(shared_data / "t_zhan_kg" / "relation")
    cases = list(itertools.islice(cases_from_graph(graph, 7), 400))
    assert len(cases) == 400
    for case in cases:
        other = WOMAN if value(case, "性别") == "男" else MAN
        assert not any(other.search(fact.name) for fact in case.facts if fact.value == "没有")
        own = {tail for relation in SYMPTOMS for tail in graph.tails(case.diagnosis, relation)}
        assert {fact.name for fact in case.facts if fact.value == "有"} <= own
        assert case.department in [tail for relation in DEPARTMENTS for tail in graph.tails(case.diagnosis, relation)]
        assert any(graph.tails(case.diagnosis, relation) for relation in CHECKS)


def said(*turns):
    return tuple(Utterance(speaker="patient" if who == "患" else "doctor", text=text) for who, text in turns)


def diseases(text):
    return [name for name in ("过敏性鼻炎", "感冒", "胃炎") if name in text]


def read(consultation):
    return case_from_consultation(consultation, id="7", source="某站", license="MIT", diseases=diseases)


def test_a_consultation_becomes_a_case_in_the_patients_own_words():
    case = read(
        Consultation(
            department="耳鼻喉科",
            title="鼻子总是堵，早上打喷嚏",
            description="我老婆32岁，鼻塞流清涕已经两个月了。之前吃过氯雷他定片，停药又犯。怎么才能好？",
            utterances=said(
                ("医", "您好"),
                ("医", "有没有药物过敏？"),
                ("患", "没有"),
                ("医", "考虑过敏性鼻炎，不像感冒"),
                ("医", "建议用鼻喷激素两周，避开尘螨"),
                ("医", "不客气，祝您早日康复"),
            ),
        )
    )
    assert case.complaint == "鼻子总是堵"
    assert case.diagnosis == "过敏性鼻炎"
    assert case.advice == "考虑过敏性鼻炎，不像感冒\n建议用鼻喷激素两周，避开尘螨"
    assert {fact.name: fact.value for fact in case.facts} == {
        "主诉": "鼻子总是堵，早上打喷嚏",
        "年龄": "32岁",
        "持续时间": "已经两个月",
        "用药": "之前吃过氯雷他定片",
        "性别": "女",
        "有没有药物过敏": "没有",
        "想得到的帮助": "怎么才能好？",
        "病情描述": "我老婆32岁，鼻塞流清涕已经两个月了。",
        "病情描述2": "之前吃过氯雷他定片，停药又犯。",
    }
    assert (case.id, case.source, case.license, case.department) == ("7", "某站", "MIT", "耳鼻喉科")


def test_an_answer_that_misses_its_question_is_no_fact():
    case = read(
        Consultation(
            utterances=said(
                ("患", "孩子咳嗽，体温38.5度"),
                ("医", "咳嗽几天了？"),
                ("患", "晚上厉害"),
                ("医", "大便几次？"),
                ("患", "三次"),
                ("医", "多喝水，可以吃止咳糖浆，注意观察体温"),
            ),
            diagnosis="支气管炎",
        )
    )
    facts = {fact.name: fact.value for fact in case.facts}
    assert facts["大便几次"] == "三次"
    assert facts["体温"] == "38.5度"
    assert "咳嗽几天了" not in facts
    assert case.diagnosis == "支气管炎"


def test_a_sentence_that_ends_in_a_question_gives_what_it_states():
    case = read(
        Consultation(
            title="胃炎能吃柿子吗？",
            utterances=said(
                ("患", "我妈妈得了胃炎好多年，最近总是反酸，这种情况能吃柿子吗？"),
                ("医", "胃炎患者不建议吃柿子，容易形成胃石。"),
            ),
        )
    )
    facts = {fact.name: fact.value for fact in case.facts}
    assert facts["主诉"] == "我妈妈得了胃炎好多年，最近总是反酸"
    assert facts["想得到的帮助"] == "胃炎能吃柿子吗？"
    assert facts["性别"] == "女"


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([("患", "你好"), ("医", "您好，请讲")], "no complaint"),
        ([("患", "孩子咳嗽三天了，有痰"), ("医", "发烧吗？")], "no advice"),
        ([("患", "肚子疼吃什么药好得快"), ("医", "可以吃颠茄片，不行就去医院")], "too few facts"),
    ],
)
def test_too_little_is_rejected(turns, reason):
    with pytest.raises(Reject) as verdict:
        read(Consultation(utterances=said(*turns)))
    assert verdict.value.reason == reason


def test_facts_of_a_real_consultation_are_the_patients_words(shared_data):
    from benchmarks.curation import consultations

    made = 0
    for talk in itertools.islice(consultations(shared_data, "chineseblue_cmdd_dev"), 60):
        words = "\n".join(one.text for one in talk.utterances if one.speaker == "patient")
        try:
            case = read(Consultation(utterances=talk.utterances))
        except Reject:
            continue
        made += 1
        assert all(fact.value in words for fact in case.facts if fact.name != "性别")
    assert made > 50
