"""Knowledge graphs: every way their publishers write them, and which facts are told first."""

import json
import time

import pytest

from builders.sources.knowledge import Graph, Triple
from schemas.settings import InputError

TYPED = """疾病 偏头痛 症状 疾病症状 恶心
疾病 偏头痛 症状 疾病症状 畏光
疾病 乙型肝炎 检查项目 检查项目 HBV DNA检测
疾病 HIV 检查项目 检查项目 CD4 ＋T淋巴细胞 计数
疾病 HIV 检查项目 检查项目 病毒载量
"""


def written(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_with_kinds_beside_the_names_is_a_fact(tmp_path):
    graph = Graph.read(written(tmp_path, "症状.txt", "\ufeff" + TYPED))
    assert graph.triples[0] == Triple("偏头痛", "症状", "恶心")
    assert str(graph.triples[1]) == "偏头痛 症状 畏光"


def test_a_name_with_spaces_is_kept_whole(tmp_path):
    graph = Graph.read(written(tmp_path, "检查.txt", TYPED))
    assert graph.tails("乙型肝炎", "检查项目") == ["HBV DNA检测"]
    assert graph.tails("HIV", "检查项目") == ["CD4 ＋T淋巴细胞 计数", "病毒载量"]
    assert graph.rejected == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "head\trelation\ttail\n偏头痛\t症状\t恶心\n"),
        ("a.csv", 'head,relation,tail\n偏头痛,症状,"恶心"\n'),
        ("a.txt", "偏头痛\t症状\t恶心\n"),
        ("b.txt", "偏头痛 症状 恶心\n"),
        ("a.jsonl", '{"head": "偏头痛", "relation": "症状", "tail": "恶心"}\n'),
        ("b.jsonl", '{"subject": "偏头痛", "predicate": "症状", "object": "恶心"}\n'),
        ("c.jsonl", '{"h": "偏头痛", "r": "症状", "t": "恶心"}\n'),
        ("d.jsonl", '{"class": "百种常见病", "中心词": "偏头痛", "症状": ["恶心"]}\n'),
        ("a.json", '[{"head": "偏头痛", "relation": "症状", "tail": "恶心"}]'),
        ("b.json", '{"偏头痛": {"症状": "恶心"}, "咳嗽": {}}'),
        ("c.json", '[["偏头痛", "症状", "恶心"]]'),
        ("d.json", '{"nodes": [{"id": 7, "name": "偏头痛"}, {"id": 9, "name": "恶心"}],'
         ' "links": [{"source": 7, "target": 9, "relation": "症状"}]}'),
    ],
)  # fmt: skip
def test_the_same_fact_is_read_from_every_format(tmp_path, name, text):
    assert Graph.read(written(tmp_path, name, text)).triples == (Triple("偏头痛", "症状", "恶心"),)


def test_a_bad_row_is_kept_with_its_place(tmp_path):
    graph = Graph.read(written(tmp_path, "a.jsonl", '{"h": "a", "r": "b", "t": "c"}\n{"h": "a"}\nnot json\n'))
    assert len(graph.triples) == 1
    assert [(broken.place.rpartition("/")[2], broken.raw) for broken in graph.rejected] == [
        ("a.jsonl: line 2", '{"h": "a"}'),
        ("a.jsonl: line 3", "not json"),
    ]


def test_a_csv_row_of_two_columns_is_rejected_by_line(tmp_path):
    graph = Graph.read(written(tmp_path, "a.csv", "偏头痛,症状,恶心\n偏头痛,畏光\n"))
    assert [broken.place.rpartition("/")[2] for broken in graph.rejected] == ["a.csv: line 2"]
    assert graph.rejected[0].reason == "expected HEAD, RELATION, TAIL, got 2 columns"


def test_a_folder_is_read_with_its_folders_and_lists_of_names_are_passed_over(tmp_path):
    written(tmp_path, "relation/症状.txt", TYPED)
    written(tmp_path, "entity/检查.txt", "血常规\nB超 心脏 彩色\n尿常规\n")
    graph = Graph.read(tmp_path)
    assert len(graph.triples) == 5
    assert [name.rpartition("/")[2] for name in graph.passed_over] == ["检查.txt"]


def test_a_fact_said_twice_is_held_once_and_counted(tmp_path):
    written(tmp_path, "a.txt", "偏头痛 症状 恶心\n偏头痛 症状 恶心\n")
    written(tmp_path, "b.txt", "偏头痛 症状 恶心\n")
    graph = Graph.read(tmp_path)
    assert (len(graph.triples), graph.repeated) == (1, 2)


@pytest.mark.parametrize(("name", "text"), [("a.txt", "只有一行字\n"), ("a.jsonl", "{}\n"), ("a.json", "[1]")])
def test_a_file_without_facts_is_bad_input(tmp_path, name, text):
    with pytest.raises(InputError, match=r"a\.\w+: (line|item) 1: "):
        Graph.read(written(tmp_path, name, text))


def test_a_broken_json_file_names_its_line(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: line 2: not JSON"):
        Graph.read(written(tmp_path, "a.json", '[{"h": "a",\n "r": }]'))


def test_a_missing_file_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        Graph.read(tmp_path / "none.txt")


def test_a_long_text_is_no_name(tmp_path):
    row = json.dumps({"name": "偏头痛", "desc": "长" * 81, "symptom": ["恶心"]}, ensure_ascii=False)
    graph = Graph.read(written(tmp_path, "a.jsonl", row))
    assert [triple.tail for triple in graph.triples] == ["恶心"]
    assert graph.rejected[0].reason == "a text, not a name"


FACTS = Graph(
    [
        Triple("肺炎", "症状", "发热"),
        Triple("肺炎", "症状", "咳嗽"),
        Triple("肺炎", "检查", "胸片"),
        Triple("感冒", "症状", "流涕"),
        Triple("感冒", "并发症", "肺炎"),
        Triple("胃炎", "症状", "恶心"),
    ]
)


def test_facts_between_two_names_come_first():
    told = FACTS.facts_about(["肺炎", "感冒", "咳嗽"], most=10)
    assert told[:2] == [Triple("感冒", "并发症", "肺炎"), Triple("肺炎", "症状", "咳嗽")]
    assert all(triple.head != "胃炎" for triple in told)
    assert len(told) == 5


def test_names_and_relations_take_turns():
    told = FACTS.facts_about({"肺炎", "感冒"}, most=4)
    assert [str(triple) for triple in told] == [
        "感冒 并发症 肺炎",
        "感冒 症状 流涕",
        "肺炎 症状 发热",
        "肺炎 检查 胸片",
    ]


def test_no_more_facts_are_told_than_asked_for():
    assert FACTS.facts_about(["肺炎"], most=2) == [Triple("肺炎", "症状", "发热"), Triple("肺炎", "检查", "胸片")]
    assert FACTS.facts_about(["骨折"], most=2) == []


def test_a_real_graph_is_read_whole(shared_data):
    started = time.process_time()
    graph = Graph.read(shared_data / "t_zhan_kg")
    assert time.process_time() - started < 10
    assert (len(graph.triples), graph.rejected) == (146_407, ())
    assert len(graph.passed_over) == 5
    assert Triple("PPGL", "检查项目", "血浆游离或24 h尿液甲氧基肾上腺素") in graph.of("PPGL")
