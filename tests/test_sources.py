"""Every raw source becomes typed rows: as many as its files hold, each with its place, none lost."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.sources.ai_hospital import TAG
from builders.sources.consultations import Broken
from builders.sources.known import (
    CASE_FORMATS,
    FORMATS,
    case_format_of,
    count_rows,
    detect,
    format_of,
    read_cases,
    read_consultations,
)
from schemas.settings import InputError

DATA = Path(__file__).parent / "data" / "sources"
SCRATCH = Path("scratch")


def read(name, format, **more):
    return list(read_consultations([str(DATA / name)], format, SCRATCH, **more))


def said(row):
    return [(utterance.speaker, utterance.text) for utterance in row.utterances]


def cases(name, format):
    return list(read_cases([str(DATA / name)], format, SCRATCH))


@pytest.mark.parametrize(
    ("name", "format", "talk"),
    [
        ("huatuo26m.json", "huatuo26m", ["打了疫苗能洗澡吗", "问题分析：可以的，针眼别沾水就行"]),
        ("huatuo26m_hub.jsonl", "huatuo26m", ["口腔溃疡多久能好？", "一般七到十天。"]),
        ("disc.json", "disc", ["孩子鼻塞怎么办？", "可以用生理盐水喷鼻。"]),
        (
            "huatuo.jsonl",
            "huatuo",
            ["飞蚊症要治吗？", "生理性的不用治。", "会瞎吗？", "一般不会。\n突然增多要查眼底。"],
        ),
        ("messages.jsonl", "messages", ["牙疼。", "去看牙。"]),
        ("smile.jsonl", "smile", ["我总是失眠。", "睡前在想什么呢？"]),
        ("meddialog_cn.jsonl", "meddialog_cn", ["膝盖响。", "疼吗？", "不疼。", "那不用管。"]),
        ("meddialog_cn_turns.jsonl", "meddialog_cn", ["手麻。", "拍颈椎片。"]),
    ],
)
def test_patient_and_doctor_take_turns_in_what_the_first_row_says(name, format, talk):
    row = read(name, format)[0].row
    assert said(row) == [(("patient", "doctor")[number % 2], text) for number, text in enumerate(talk)]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("toyhom.csv", "toyhom"),
        ("huatuo26m.json", "huatuo26m"),
        ("huatuo26m_hub.jsonl", "huatuo26m"),
        ("cmdd", "cmdd"),
        ("ai_hospital_dialogues.jsonl", "ai_hospital"),
        ("ai_hospital_cases.jsonl", "ai_hospital"),
        ("disc.json", "disc"),
        ("cmtmedqa.json", "cmtmedqa"),
        ("huatuo.jsonl", "huatuo"),
        ("sharegpt.jsonl", "sharegpt"),
        ("alpaca.json", "alpaca"),
        ("messages.jsonl", "messages"),
        ("mts_dialog.csv", "mts_dialog"),
        ("smile.jsonl", "smile"),
        ("cmedqa2", "cmedqa2"),
        ("webmedqa.txt", "webmedqa"),
        ("meddialog_cn.jsonl", "meddialog_cn"),
        ("imcs21.json", "imcs21"),
        ("huatuo_cases.json", "huatuo_cases"),
        ("cases.jsonl", "case"),
        ("columns.csv", None),
    ],
)
def test_a_format_is_told_from_the_first_rows(name, format):
    assert detect([str(DATA / name)]) == format


def test_inputs_of_two_formats_have_none_in_common():
    assert detect([str(DATA / "toyhom.csv"), str(DATA / "alpaca.json")]) is None


def test_toyhom_keeps_quoted_lines_and_asks_with_the_title_when_there_is_nothing_else():
    first, second, third = read("toyhom.csv", "toyhom")
    assert (first.key, first.place) == ("toyhom/toyhom.csv:1", "toyhom.csv: row 1")
    assert first.row.question == "血糖高要忌口吗\n早上测的空腹血糖七点八，请问要忌口吗？"
    assert said(first.row)[1] == ("doctor", "您好，先控制主食。\r\n一个月后复查空腹血糖。")
    assert (second.row.title, said(second.row)[0]) == ("", ("patient", "总是反酸怎么回事？"))
    assert said(third.row)[1] == ("doctor", '多半是耳石症，请到耳鼻喉科做"手法复位"。')
    assert [read.row.department for read in (first, second, third)] == ["内分泌科", "消化科", "神经科"]


def test_cmdd_marks_stand_where_the_labels_say_and_nowhere_when_they_do_not_fit():
    first, second, third = read("cmdd", "cmdd")
    assert first.key == "cmdd/90000001"
    heard = first.row.utterances
    assert [said.text for said in heard] == ["你好", "拉稀两天了", "不发烧", "会不会是轮状病毒", "咳得厉害吗"]
    marks = [(said.text[mark.start : mark.end], mark.value, mark.status) for said in heard for mark in said.spans]
    assert marks == [
        ("拉稀", "稀便", "present"),
        ("发烧", "发热", "absent"),
        ("轮状病毒", "轮状病毒感染", "unsure"),
        ("咳", "咳嗽", "unsure"),  # labelled I where B was due
    ]
    assert second.row.utterances[0].spans == ()  # four labels for five characters
    assert third.row == Broken("c.json: row 1", "dialogue-content: nothing is said in it", third.row.raw)


def test_what_the_patient_asks_the_reporter_is_not_said_to_the_doctor_but_the_report_is():
    (row,) = (read.row for read in read("ai_hospital_dialogues.jsonl", "ai_hospital"))
    assert said(row)[3:5] == [("patient", "医生，我去拍了。"), ("patient", "检查结果：\n- 胸片: 双肺纹理增粗")]
    assert said(row)[6] == ("patient", "谢谢您！")
    assert row.diagnosis == "急性支气管炎"
    assert row.own_id == "Agent.Doctor.GPT/11"


def test_a_case_is_told_apart_into_what_the_patient_knows_and_what_the_chart_holds():
    (_, first), (_, second), (key, third) = cases("ai_hospital_cases.jsonl", "ai_hospital")
    assert [(fact.name, fact.value) for fact in first.facts_for("patient")] == [("主诉", "右下腹痛1天")]
    assert [fact.name for fact in first.facts_for("doctor")] == ["查体", "辅助检查"]
    assert (first.complaint, first.diagnosis, first.advice) == ("右下腹痛1天", "急性阑尾炎", "手术切除阑尾。")
    assert [fact.value for fact in second.facts_for("patient")] == ["老年男性，反复咳嗽、发热3天", "既往吸烟"]
    assert [fact.value for fact in second.facts_for("doctor")] == [
        "查体双肺可闻及湿啰音，心率快",
        "胸部CT见斑片影，考虑肺部感染",  # under a label that names the disease, which is left out
    ]
    assert second.complaint == "反复咳嗽、发热3天"
    assert (key, third.reason) == ("ai_hospital/ai_hospital_cases.jsonl:3", "reference_diagnosis.basis: nothing in it")


def test_huatuo_cases_come_apart_at_their_headings_without_hospital_or_dialogue():
    (key, case), (_, broken) = cases("huatuo_cases.json", "huatuo_cases")
    assert key == "huatuo_cases/7"
    told = {fact.name: fact.value for fact in case.facts_for("patient")}
    assert told == {
        "疾病": "右膝疼",
        "病情描述": "跑步后右膝外侧疼，休息能缓解",
        "希望获得的帮助": "要不要拍片",
        "怀孕情况": "未怀孕",
        "患病多久": "一月内",
        "过敏史": "青霉素",
        "既往病史": "无",
    }
    assert (case.complaint, case.diagnosis, case.advice) == ("右膝疼", "髂胫束综合征", "停跑两周，冰敷")
    assert broken.reason == "medical_case: nothing in it under any of the usual headings"


def test_our_own_case_files_are_read_back_and_an_empty_one_is_broken():
    (key, case), (_, broken) = cases("cases.jsonl", "case")
    assert (key, case.facts[1].seen_by) == ("case/c-1", ("doctor", "judge"))
    assert broken.reason.startswith("facts: ")


def test_cmtmedqa_ends_with_its_instruction_and_marks_safety_questions():
    dialogue, safety = (read.row for read in read("cmtmedqa.json", "cmtmedqa"))
    assert [text for _, text in said(dialogue)][-2:] == ["谢谢医生。", "不客气。"]
    assert len(dialogue.utterances) == 6
    assert (safety.tags, said(safety)) == (("safety",), [("patient", "喝符水能治好癫痫吗？")])


def test_alpaca_joins_instruction_and_input():
    rows = [said(read.row)[0][1] for read in read("alpaca.json", "alpaca")]
    assert rows == ["把诊断翻成大白话\n慢性鼻窦炎", "什么是贫血？"]


def test_english_lines_belong_to_the_side_their_speaker_is_on():
    heard, broken = (read.row for read in read("mts_dialog.csv", "mts_dialog"))
    assert said(heard) == [
        ("doctor", "What brings you in?"),
        ("patient", "A cough."),
        ("patient", "He coughs all night.\nIt is loud."),
        ("doctor", "Any fever?"),
        ("patient", "No."),
    ]
    assert broken.reason == "no speaker before 'Hello there.'"


def test_a_line_that_is_no_row_follows_the_rows_with_its_place():
    reads = read("sharegpt.jsonl", "sharegpt")
    assert [read.key for read in reads] == [
        "sharegpt/c1",
        "sharegpt/sharegpt.jsonl:2",
        "sharegpt/sharegpt.jsonl:3",
        "sharegpt/sharegpt.jsonl:line 4",
    ]
    assert said(reads[0].row)[0] == ("system", "你是医生。")
    assert said(reads[1].row) == [("patient", "只有问题没有回答？")]
    assert reads[2].row.reason == "speaker: 'function_call' is neither patient nor doctor"
    assert reads[3].row.reason.startswith("not JSON")


def test_cmedqa2_joins_answers_to_their_questions():
    first, second, third = read("cmedqa2", "cmedqa2")
    assert (first.key, said(first.row)) == (
        "cmedqa2/5001",
        [("patient", "能喝咖啡吗？"), ("doctor", "可以，每天一杯。")],
    )
    assert said(second.row)[0] == ("patient", "头皮发麻怎么办？")
    assert third.row.reason == "question_id: 999 is in no file of questions"


def test_webmedqa_keeps_only_the_answers_and_says_why_of_the_others():
    reads = read("webmedqa.txt", "webmedqa")
    assert [getattr(read.row, "reason", "") for read in reads] == [
        "",
        "label: 0, not the answer to this question",
        "2 fields where the set has 5",
        "",
    ]
    assert [reads[0].row.department, reads[3].row.department] == ["内科", "外科"]


def test_imcs21_opens_with_what_the_patient_wrote():
    row, broken = (read.row for read in read("imcs21.json", "imcs21"))
    assert (row.question, row.diagnosis, len(row.utterances)) == ("宝宝拉肚子一天", "小儿腹泻", 2)
    assert (broken.place, broken.reason) == ("imcs21.json: row 2", "not an object")


def test_any_table_is_read_by_the_names_of_its_columns():
    columns = {"question": "ask", "answer": "reply", "department": "dept", "id": "no"}
    first, second = read("columns.csv", "columns", columns=columns)
    assert (first.key, first.row.department) == ("columns/A1", "风湿科")
    assert said(first.row) == [("patient", "能吃海鲜吗？"), ("doctor", "急性期不要吃。")]
    assert (second.key, second.row.reason) == ("columns/columns.csv:2", "nothing is said in it")
    (dialogue,) = read("columns_dialogue.jsonl", "columns", columns={"dialogue": "turns", "description": "note"})
    assert said(dialogue.row)[2] == ("patient", "半年。\n断断续续。")
    assert dialogue.row.question == "耳鸣半年\n耳鸣。"


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"question": "ask", "answr": "reply"}, "--columns: no field 'answr'; did you mean answer?"),
        ({"answer": "reply"}, "--columns: say which column holds the question, or the dialogue"),
        ({"question": "frage"}, "--columns: no column 'frage'; there are no, ask, reply, dept"),
        (None, "--format columns: say which column holds what"),
    ],
)
def test_columns_that_are_wrong_are_bad_input(columns, complaint):
    with pytest.raises(InputError) as wrong:
        read("columns.csv", "columns", columns=columns)
    assert str(wrong.value).startswith(complaint)


def test_columns_go_with_the_format_columns_only():
    with pytest.raises(InputError, match="--columns goes with --format columns, not with toyhom"):
        read("toyhom.csv", "toyhom", columns={"question": "ask"})


def test_a_wrong_format_names_the_nearest_and_all():
    with pytest.raises(
        InputError, match=r"--format toyhum: no such format; did you mean toyhom\?; there are toyhom, cmdd"
    ):
        format_of("toyhum")
    with pytest.raises(InputError, match="--format case: these are case files, not consultations"):
        format_of("case")
    with pytest.raises(InputError, match="--format huatuo_case: no such format; did you mean huatuo_cases"):
        case_format_of("huatuo_case")


def test_files_of_one_name_in_two_folders_give_keys_of_their_own():
    for folder in ("old", "new"):
        Path(folder).mkdir()
        shutil.copy(DATA / "toyhom.csv", folder)
    reads = list(read_consultations(["old/toyhom.csv", "new/toyhom.csv"], "toyhom", SCRATCH))
    assert [read.key for read in reads][2:4] == ["toyhom/toyhom.csv:3", "toyhom/toyhom.csv#2:1"]
    assert len({read.key for read in reads}) == 6


def test_rows_are_read_as_they_are_asked_for():
    pq.write_table(
        pa.table({"instruction": ["问"] * 5000, "output": ["答"] * 5000}), "many.parquet", row_group_size=1000
    )
    reads = read_consultations(["many.parquet"], "alpaca", SCRATCH)
    assert [next(reads).key, next(reads).key] == ["alpaca/many.parquet:1", "alpaca/many.parquet:2"]
    assert sum(1 for _ in reads) == 4998


def test_a_field_of_the_wrong_kind_is_a_broken_row_that_names_it():
    Path("odd.jsonl").write_text(json.dumps({"instruction": "问", "output": 3}) + "\n")
    (odd,) = read_consultations(["odd.jsonl"], "alpaca", SCRATCH)
    assert odd.row == Broken(
        "odd.jsonl: row 1", "output: expected a text, got a number", '{"instruction": "问", "output": 3}'
    )


def test_every_format_says_what_it_is_in_one_line():
    for name, known in {**FORMATS, **CASE_FORMATS}.items():
        assert known.name == name
        assert known.about
        assert "\n" not in known.about


@pytest.mark.parametrize(
    ("folder", "format", "rows"),
    [
        ("toyhom_zh_qa", "toyhom", 4000),
        ("huatuo26m_test_first2000", "huatuo26m", 2000),
        ("chineseblue_cmdd_dev", "cmdd", 413),
        ("ai_hospital/dialog_history_gpt3.jsonl", "ai_hospital", 506),
        ("disc_medllm_gpt35/gpt-3.5-turbo_cmb-clin.json", "disc", 73),
        ("disc_medllm_gpt35/gpt-3.5-turbo_cmd.json", "disc", 121),
        ("disc_medllm_gpt35/gpt-3.5-turbo_cmid.json", "disc", 120),
        ("smile", "smile", 2000),
        ("mts_dialog_en", "mts_dialog", 1201),
        ("medicalgpt_sample/medical_sft_1K_format.jsonl", "sharegpt", 1000),
        ("medicalgpt_sample/dpo_zh_500.jsonl", "sharegpt", 500),
        ("bentsao", "alpaca", 8658),
    ],
)
def test_every_row_of_the_real_sets_goes_through(shared_data, folder, format, rows):
    source = [str(shared_data / folder)]
    assert detect(source) == format
    reads = list(read_consultations(source, format, SCRATCH))
    assert [read.row for read in reads if isinstance(read.row, Broken)] == []
    assert len(reads) == len({read.key for read in reads}) == count_rows(source, format, SCRATCH) == rows


def test_every_real_case_of_ai_hospital_has_facts_a_diagnosis_and_no_label_in_the_patients_mouth(shared_data):
    source = [str(shared_data / "ai_hospital" / "evaluation_iiyi_gpt4_onestep.jsonl")]
    found = [case for _, case in read_cases(source, "ai_hospital", SCRATCH)]
    assert len(found) == 506
    assert all(case.facts and case.diagnosis for case in found)
    told = [fact.value for case in found for fact in case.facts_for("patient")]
    assert not [text for text in told if any(word in text for word in ("查体", "CT", "B超", "血常规"))]


def test_no_addressing_tag_is_left_in_the_real_consultations(shared_data):
    source = [str(shared_data / "ai_hospital" / "dialog_history_gpt3.jsonl")]
    reads = read_consultations(source, "ai_hospital", SCRATCH)
    assert not [read.key for read in reads if any(TAG.search(said.text) for said in read.row.utterances)]
