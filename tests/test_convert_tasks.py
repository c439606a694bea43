"""Labelled sets become instructions whose answers say the labels, all of them and nothing else."""

import asyncio
import contextlib
import io
import json
import tomllib
from pathlib import Path

import polars
import pytest
from conftest import ROOT, outcome
from hypothesis import given
from hypothesis import strategies as st

from builders import convert_tasks
from builders.engine.errors import Reject
from builders.tasks.conversion import Conversion, check, examples_of, task_set, wording
from builders.tasks.examples import Example
from builders.tasks.labels import parse, render
from builders.tasks.self_cognition import self_cognition
from builders.tasks.sets import SETS
from schemas.settings import InputError, run_command
from schemas.task import Task

DATA = Path(__file__).parent / "data" / "sources"
SCRATCH = Path("scratch")


def converted(name, task, *, format=None, without_labels=1.0, seed=0):
    """Rows and rejects of a file, by key, without the engine."""
    source = [str(DATA / name)]
    known = task_set(task, format, source)
    build = Conversion(known, seed=seed, without_labels=without_labels)
    rows, rejects = {}, {}

    async def convert():
        for example in examples_of(known, source, SCRATCH):
            try:
                (rows[example.key],) = await build(example, None)
            except Reject as verdict:
                rejects[example.key] = (verdict.reason, verdict.detail)

    asyncio.run(convert())
    return rows, rejects


def run(*arguments):
    out, talk = io.StringIO(), io.StringIO()
    words = [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(convert_tasks.ConvertTasks, convert_tasks.main, words)
    return outcome(ended.value.code, talk.getvalue(), out.getvalue())


def test_entities_are_listed_kind_by_kind_each_once_in_the_order_of_the_text():
    rows, rejects = converted("tasks/cmeee.json", "ner")
    first = rows["cmeee/cmeee.json:1"]
    assert first.output == "疾病：肺炎\n临床表现：咳嗽；胸痛"
    assert json.loads(first.labels) == [
        {"kind": "疾病", "text": "肺炎"},
        {"kind": "临床表现", "text": "咳嗽"},
        {"kind": "临床表现", "text": "胸痛"},
    ]
    assert "疾病、临床表现、药物、医疗设备、医疗程序、身体部位、医学检验项目、微生物类、科室" in first.instruction
    assert rows["cmeee/cmeee.json:2"].output == "没有"
    assert rejects == {
        "cmeee/cmeee.json:3": ("unreadable", "entities: expected a list of objects, got nothing"),
        "cmeee/cmeee.json:4": ("unreadable", "entities: unknown type 'zzz'"),
        "cmeee/cmeee.json:5": (
            "answer does not parse back",
            '疾病：甲；乙综合征 gives [{"kind": "疾病", "text": "甲"}, {"kind": "疾病", "text": "乙综合征"}]',
        ),
        "cmeee/cmeee.json:6": ("unreadable", "entities: '腹痛' is not in the text"),
    }


def test_relations_are_triples_of_known_relations_a_line_each():
    rows, _ = converted("tasks/cmeie.jsonl", "relation")
    first, second = rows.values()
    assert first.output == "荨麻疹 | 临床表现 | 风团\n荨麻疹 | 药物治疗 | 抗组胺药\n荨麻疹 | 相关（导致） | 血管性水肿"
    assert second.output == "没有"
    assert len(first.choices) == 44


def test_an_intent_is_one_of_the_eleven_and_a_row_without_one_is_rejected():
    rows, rejects = converted("tasks/kuake_qic.json", "intent")
    assert {key: row.output for key, row in rows.items()} == {"kuake_qic/s1": "治疗方案", "kuake_qic/s2": "疾病表述"}
    assert rejects == {"kuake_qic/kuake_qic.json:3": ("unreadable", "label: missing")}
    assert len(rows["kuake_qic/s1"].choices) == 11


def test_lines_of_pairs_without_a_header_are_compared():
    rows, rejects = converted("tasks/cmedqq.txt", "pair")
    same, other = rows.values()
    assert (same.input, same.output) == ("问题一：痛风吃什么好\n问题二：痛风患者吃什么好", "意思相同")
    assert (other.key, other.output) == ("cmedqq/cmedqq.txt:2", "意思不同")
    assert rejects == {
        "cmedqq/cmedqq.txt:3": ("unreadable", "2 fields, expected label, question and question"),
        "cmedqq/cmedqq.txt:4": ("unreadable", "label: '3' is none of 1, 0"),
    }


@pytest.mark.parametrize(
    ("name", "format", "answers"),
    [
        ("tasks/kuake_qqr.json", "kuake_qqr", ["完全一致", "后者是前者的语义子集"]),
        ("tasks/chip_sts.json", "chip_sts", ["意思相同"]),
    ],
)
def test_pairs_of_cblue_are_told_from_their_fields(name, format, answers):
    rows, _ = converted(name, "pair")
    assert [row.output for row in rows.values()] == answers
    assert {row.provenance.source for row in rows.values()} == {format}


def test_terms_are_all_that_the_set_gives():
    rows, rejects = converted("tasks/chip_cdn.json", "normalisation")
    assert [row.output for row in rows.values()] == ["膝骨关节病；高血压"]
    assert rejects == {"chip_cdn/chip_cdn.json:2": ("unreadable", "normalized_result: missing")}


def test_every_report_of_a_consultation_is_a_row_with_six_sections():
    rows, rejects = converted("imcs21.json", "report")
    first, second = rows.values()
    assert first.key == "imcs_mrg/10000001/1"
    assert first.input == "患者自述：宝宝拉肚子一天\n医生：几次？\n患者：五次"
    assert first.output.split("\n") == [
        "主诉：腹泻1天。", "现病史：大便5次。", "辅助检查：暂缺。", "既往史：不详。", "诊断：小儿腹泻。", "建议：补液。",
    ]  # fmt: skip
    assert json.loads(second.labels)["建议"] == "口服补液盐。"
    assert rejects == {"imcs_mrg/imcs21.json:2": ("unreadable", "not an object")}


def test_sentences_of_cmdd_say_their_symptoms_and_those_that_do_not_fit_are_rejected():
    rows, rejects = converted("cmdd", "ner")
    answers = {key: row.output for key, row in rows.items()}
    assert answers == {
        "cmdd/90000001/1": "没有",
        "cmdd/90000001/2": "症状或疾病：拉稀",
        "cmdd/90000001/4": "症状或疾病：发烧",
        "cmdd/90000001/5": "症状或疾病：轮状病毒",
        "cmdd/90000001/6": "症状或疾病：咳",
        "cmdd/90000002/2": "没有",
    }
    assert rejects == {
        "cmdd/90000002/1": ("labels do not fit", "label: 4 marks for 5 characters"),
        "cmdd/90000003": ("no labels", "nothing is labelled in it"),
    }


def test_what_patients_say_is_given_its_normal_form():
    rows, _ = converted("cmdd", "normalisation")
    row = rows["cmdd/90000001/2/1"]
    assert (row.input, row.output) == ("原话：拉稀两天了\n说法：拉稀", "稀便")


def test_texts_without_labels_are_kept_by_share_and_always_the_same_ones():
    everything, none = converted("cmdd", "ner"), converted("cmdd", "ner", without_labels=0)
    assert len(everything[0]) - len(none[0]) == 2
    assert none[1]["cmdd/90000001/1"] == ("without labels, not drawn", "--without-labels 0")
    assert converted("cmdd", "ner", without_labels=0.5)[0] == converted("cmdd", "ner", without_labels=0.5)[0]


def test_every_task_has_five_wordings_and_all_of_them_are_drawn():
    wordings = tomllib.loads((ROOT / "builders" / "tasks" / "wordings.toml").read_text(encoding="utf-8"))
    assert set(wordings) == {known.task for known in SETS}
    for task, table in wordings.items():
        assert len(set(table["wordings"])) >= 5
        drawn = {wording(Example(f"a/{number}", "", task), 0)[0] for number in range(200)}
        assert drawn == set(range(1, len(table["wordings"]) + 1))
    closed = {known.task for known in SETS if known.choices}
    assert all("{choices}" in text for task in closed for text in wordings[task]["wordings"])


def test_another_seed_draws_another_wording():
    first, second = (converted("tasks/kuake_qic.json", "intent", seed=seed)[0] for seed in (0, 1))
    assert [row.wording for row in first.values()] != [row.wording for row in second.values()]


WORD = st.text(alphabet="疼痛肺炎咳a1、，：|；\n ", min_size=1, max_size=5)


@given(st.lists(st.tuples(st.sampled_from(["疾病", "药物"]), WORD), max_size=4))
def test_an_answer_either_parses_back_to_its_labels_or_is_rejected(found):
    labels = [{"kind": kind, "text": text} for kind, text in dict.fromkeys(found)]
    labels.sort(key=lambda label: label["kind"], reverse=True)
    example = Example("k", "p", "ner", "。".join(text for _, text in found) or "x", labels, ("疾病", "药物"))
    output = render("ner", labels)
    with contextlib.suppress(Reject):
        check(example, output)
        assert parse("ner", output, ("疾病", "药物")) == labels
        return
    assert not example.input.strip() or any(mark in label["text"] for label in labels for mark in "；\n")


@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("ner", "这里没有实体"),
        ("ner", "动物：猫"),
        ("relation", "肺炎 | 临床表现"),
        ("intent", "闲聊"),
        ("report", "没有标题"),
    ],
)
def test_an_answer_in_no_known_form_parses_to_nothing(task, output):
    with pytest.raises(ValueError):
        parse(task, output, ("疾病", "临床表现", "主诉"))


def test_a_report_keeps_lines_that_look_like_headings_of_no_section():
    sections = {"主诉": "咳嗽\n备注：夜间重", "诊断": "感冒"}
    assert parse("report", render("report", sections), ("主诉", "诊断")) == sections


def test_who_the_model_is_is_asked_in_sixty_wordings_and_every_answer_names_it():
    said = list(self_cognition("素问", "某某实验室"))
    questions = [one.question for one in said]
    assert len(set(questions)) >= 60
    assert len({(one.question, one.answer) for one in said}) == len({one.key for one in said}) == len(said)
    assert all("素问" in one.answer and "{" not in one.answer + one.question for one in said)
    assert questions[: len(set(questions))] == list(dict.fromkeys(questions))  # each once before any comes again
    assert {one.states for one in said} == {("素问",), ("素问", "某某实验室")}


def test_the_command_makes_a_release_of_tasks_without_asking_anybody():
    ended = run(DATA / "cmdd", "--task", "ner", "--without-labels", "1", "--license", "apache-2.0", "--out", "set")
    assert ended.code == 0, ended.talk
    assert (ended.said["rows"], ended.said["calls"]) == (6, 0)
    assert ended.said["rejected"] == {"labels do not fit": 1, "no labels": 1}
    rows = polars.read_parquet("set/converted_tasks/*.parquet").to_dicts()
    task = Task.from_record(next(row for row in rows if row["key"] == "cmdd/90000001/4"))
    assert task.messages()[0].content == f"{task.instruction}\n不发烧"
    assert (task.messages()[1].content, task.origin) == ("症状或疾病：发烧", "real")
    assert task.provenance.source_license == "Apache-2.0"
    assert task.provenance.source_row == "a.json: row 1"
    told = Path("set/manifest.json").read_text() + Path("set/README.md").read_text()
    assert str(DATA) not in told  # where the source lies is nobody's business


def test_a_second_run_gives_the_same_release():
    for folder in ("one", "two"):
        run(DATA / "tasks" / "cmedqq.txt", "--task", "pair", "--out", folder)
    assert Path("one/manifest.json").read_bytes() == Path("two/manifest.json").read_bytes()


def test_so_many_rows_as_asked_for_from_the_beginning():
    ended = run("--task", "self_cognition", "--name", "素问", "--maker", "某某", "--rows", "7", "--out", "self")
    assert (ended.code, ended.said["rows"]) == (0, 7)
    keys = polars.read_parquet("self/converted_tasks/*.parquet")["key"].to_list()
    assert sorted(keys) == [f"self_cognition/1/{place}/{(place % 4) + 1}" for place in range(1, 8)]


def test_private_things_are_masked_in_text_and_rejects():
    Path("p.txt").write_text("1\t我的电话是13812345678，能打给我吗\t糖尿病怎么治\n坏行 13812345678\n")
    assert run("p.txt", "--task", "pair", "--out", "set").said["rows"] == 1
    row = polars.read_parquet("set/converted_tasks/*.parquet").to_dicts()[0]
    assert "13812345678" not in json.dumps(row, ensure_ascii=False)
    assert "[电话1]" in row["input"]
    assert "13812345678" not in str(polars.read_parquet("set/rejected/*.parquet").to_dicts())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--task", "ner"], "SOURCE: name the labelled sets to convert"),
        (["x.json", "--task", "ner", "--name", "素问"], "--name, --maker: go with --task self_cognition, not with ner"),
        (["--task", "self_cognition", "--name", "素问"], "say who the model is, with --name and --maker"),
        (["x.json", "--task", "self_cognition"], "leave SOURCE and --format out"),
        (["x.json", "--task", "ner", "--format", "cmeie"], "no set of that name for --task ner; there are cmeee, cmdd"),
        (["x.json", "--task", "ner"], "x.json: no such file or folder"),
        (
            [str(DATA / "toyhom.csv"), "--task", "ner"],
            "its rows look like no set for --task ner; name one of cmeee, cmdd",
        ),
        (["x.json", "--task", "tagging"], "--task: "),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments, complaint):
    ended = run(*arguments, "--out", "set")
    assert ended.code == 2
    assert complaint in ended.talk.strip().splitlines()[-1]
    assert not Path("set").exists()


def test_a_set_is_known_by_its_rows_or_its_name():
    assert task_set("ner", None, [str(DATA / "cmdd")]).name == "cmdd"
    assert task_set("pair", "kuake_qqr", ["anything"]).name == "kuake_qqr"
    with pytest.raises(InputError):
        task_set("report", None, [str(DATA / "cmdd")])


def test_every_labelled_text_of_the_real_sets_is_worded(shared_data):
    rows, rejects = converted(shared_data / "chineseblue_cmdd_dev", "ner", without_labels=0)
    assert len(rows) + len(rejects) == 16_834  # bubbles with something in them
    assert {reason for reason, _ in rejects.values()} == {"without labels, not drawn"}
    rows, rejects = converted(shared_data / "chineseblue_cmedqq", "pair")
    assert (len(rows), rejects) == (3728, {})


def test_the_real_sets_run_through_the_command(shared_data):
    for name, task in (("chineseblue_cmdd_dev", "ner"), ("chineseblue_cmedqq", "pair")):
        ended = run(shared_data / name, "--task", task, "--rows", 300, "--out", task)
        assert (ended.code, ended.said["rows"]) == (0, 300)
