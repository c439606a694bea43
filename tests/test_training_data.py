"""What a trainer learns from is read from releases, tables and the Hub, cut, and mixed in the shares that were asked for."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from hub_repos import Repo
from hub_server import client_env, running_hub
from tables import lines, written

from builders.engine.folder import sha256_of
from schemas.base import Provenance
from schemas.features import to_arrow
from schemas.qa import QA
from schemas.settings import InputError
from schemas.train_settings import data_choice
from trainers.engine.rows.chat_rows import Conversation, Unreadable
from trainers.engine.rows.data_sets import Opened, find_data, general_probe, open_data, open_found
from trainers.engine.rows.mixture import counts_of, mixed

SYMPTOMS = ("咳嗽", "头晕", "胃疼", "皮疹", "失眠", "腰酸", "耳鸣", "鼻塞", "牙疼", "心慌")
SINCE = (
    "昨天夜里",
    "上个月",
    "停药以后",
    "换季的时候",
    "饭后一小时",
    "跑步途中",
    "搬家那阵",
    "出差回来",
    "感冒好了",
    "熬夜加班",
)
PEOPLE = ("我父亲今年六十", "孩子刚满三岁", "同事怀孕四个月", "奶奶有高血压", "弟弟在读高中")


def asked(number: int) -> str:
    """500 questions of which no two are near-duplicates."""
    who, when, what = PEOPLE[number % 5], SINCE[number // 5 % 10], SYMPTOMS[number // 50 % 10]
    return f"{who}，{when}开始{what}，第{number * 7919}次了，{what}和{when}有关系吗？"


def opened(value: object, seed: int = 0) -> Opened:
    (one,) = open_data([data_choice(str(value))], Path("scratch"), seed=seed)
    return one


def splits(one: Opened) -> tuple[str, ...]:
    return tuple(split for split in ("train", "validation", "test") if one.size(split))


def places(one: Opened, split: str) -> list[str]:
    return [row.place for row in one.read(split)]


def read(value: object) -> list[Conversation | Unreadable]:
    """Every row of a table, of whichever split."""
    one = opened(value)
    return [row for split in ("train", "validation", "test") for row in one.read(split)]


def said(row: Conversation | Unreadable) -> list[tuple[str, str]]:
    assert isinstance(row, Conversation), row
    return [(message.role, message.content) for message in row.messages]


def refusal(value: object) -> str:
    with pytest.raises(InputError) as wrong:
        opened(value)
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def answered(number: int, **provenance: object) -> QA:
    about = Provenance(cluster=f"site/{number // 2}", **provenance)
    words = {"question": f" {asked(number)}\n", "raw": "多喝水。", "answer": "建议您先测一次血压，再来复诊。"}
    return QA(origin="rewritten", form="instruction", key=f"site/{number}", provenance=about, **words)


def release(folder: str, configs: dict[str, dict[str, list[QA]]], extra: tuple[str, ...] = ()) -> Path:
    """A release folder; configs named in `extra` have no messages."""
    files = {}
    for config, splits in configs.items():
        for split, rows in splits.items():
            name = f"{config}/{split}-00000-of-00001.parquet"
            (Path(folder) / config).mkdir(parents=True, exist_ok=True)
            table = to_arrow(rows, QA)
            pq.write_table(table.drop_columns(["messages"]) if config in extra else table, Path(folder) / name)
            files[name] = {"sha256": sha256_of(Path(folder) / name)}
    manifest = {"version": "1.2.0", "content": "c0ffee", "config": "+".join(configs), "files": files}
    written(f"{folder}/manifest.json", json.dumps(manifest))
    return Path(folder)


def test_a_release_gives_its_rows_by_split_with_what_the_card_must_state():
    train = [answered(0, license="cc-by-4.0"), answered(1), answered(2, license="cc-by-4.0", rehearsal=True)]
    release("build/set", {"polished_qa": {"train": train, "test": [answered(4, license="mit")]}})
    one = opened("build/set")
    assert (one.name, one.revision, one.version, one.configs) == ("set", "c0ffee", "1.2.0", ("polished_qa",))
    assert (one.licenses, one.rehearsal, splits(one)) == ({"cc-by-4.0": 2, "": 1}, True, ("train", "test"))
    rows = list(one.read("train"))
    assert said(rows[0]) == [("user", asked(0)), ("assistant", "建议您先测一次血压，再来复诊。")]
    assert rows[1][:2] == ("polished_qa/train-00000-of-00001.parquet: row 2", "site/0")
    assert list(one.read("validation")) == []
    assert [row.cluster for row in one.read("test")] == ["site/2"]


def test_of_a_release_those_configs_are_read_that_were_named_or_else_can_be_trained_on():
    rows = {"train": [answered(0)]}
    release("set", {"polished_qa": rows, "passages": rows, "spoken": {"train": [answered(2)]}}, extra=("passages",))
    assert opened("set").configs == ("polished_qa", "spoken")
    assert [said(row)[0][1] for row in opened("set:spoken").read("train")] == [asked(2)]
    assert refusal("set:dialogues") == "--data set: no config dialogues; it has polished_qa, passages, spoken"
    assert refusal("set:passages") == "--data set: the rows of config passages have no column messages"
    release("books", {"passages": rows}, extra=("passages",))
    assert refusal("books") == "--data books: none of its configs has a column messages; it has passages"


def test_a_release_whose_files_are_not_those_of_its_manifest_is_refused():
    folder = release("set", {"polished_qa": {"train": [answered(0), answered(1)]}})
    pq.write_table(to_arrow([answered(0)], QA), folder / "polished_qa/train-00000-of-00001.parquet")
    assert "not the file that manifest.json names" in refusal("set")


def test_finding_knows_name_and_revision_before_a_row_is_read():
    folder = release("build/set", {"qa": {"train": [answered(0)]}})
    (found,) = find_data([data_choice("build/set")])
    assert (found.name, found.revision) == ("set", "c0ffee")
    (folder / "qa/train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"--data .*not the file that manifest\.json names"):
        open_found([found], Path("scratch"))


def test_a_file_that_two_data_flags_name_is_refused():
    written("set/a/train.jsonl", lines(LAYOUTS["messages"]))
    written("set/b/train.jsonl", lines(LAYOUTS["messages"]))
    both = [data_choice("set:a"), data_choice("set:b")]
    assert [one.name for one in find_data(both)] == ["set", "set"]
    for first, again in (("set:a", "set:a=0.2"), ("set:a", "./set:a,b"), ("set/a/train.jsonl", "general=set")):
        with pytest.raises(InputError, match=r"train\.jsonl is trained on already, by --data .*; name it once"):
            find_data([data_choice(first), data_choice(again)])


FIRST = [("user", "孩子发烧39度怎么办？"), ("assistant", "先物理降温，多喝水。")]
LAYOUTS = {
    "messages": {"messages": [{"role": "user", "content": "孩子发烧39度怎么办？"}, {"role": "assistant", "content": "先物理降温，多喝水。"}]},
    "messages as JSON": {"messages": '[{"role": "user", "content": "孩子发烧39度怎么办？"}, {"role": "assistant", "content": "先物理降温，多喝水。"}]'},
    "sharegpt": {"conversations": [{"from": "human", "value": "孩子发烧39度怎么办？"}, {"from": "gpt", "value": "先物理降温，多喝水。"}]},
    "conversations of roles": {"conversations": [{"role": "user", "content": "孩子发烧39度怎么办？"}, {"role": "assistant", "content": "先物理降温，多喝水。"}]},
    "alpaca": {"instruction": "孩子发烧39度怎么办？", "input": "", "output": "先物理降温，多喝水。\n"},
    "completion": {"prompt": "孩子发烧39度怎么办？", "completion": " 先物理降温，多喝水。"},
    "completion of messages": {"prompt": [{"role": "user", "content": "孩子发烧39度怎么办？"}], "completion": [{"role": "assistant", "content": "先物理降温，多喝水。"}]},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_chat_layout_gives_the_same_messages(layout):
    written("chat.jsonl", lines(LAYOUTS[layout], LAYOUTS[layout]))
    assert [said(row) for row in read("chat.jsonl")] == [FIRST, FIRST]


def test_system_history_and_input_stand_where_they_were_said():
    row = {"system": "你是医生。", "history": [["我头疼。", "疼了多久？"]], "instruction": "三天了，", "input": "还恶心。", "output": "请来医院。"}  # fmt: skip
    written("alpaca.json", json.dumps([row], ensure_ascii=False))
    expected = [("system", "你是医生。"), ("user", "我头疼。"), ("assistant", "疼了多久？"), ("user", "三天了，\n还恶心。"), ("assistant", "请来医院。")]  # fmt: skip
    assert [said(row) for row in read("alpaca.json")] == [expected]


def test_turns_that_belle_writes_into_one_instruction_are_taken_apart():
    turns = "Human:写一段代码\nAssistant:for i in range(3):\n    print(i)\nHuman：改成打印五次\nAssistant:"
    plain = "请评价下面的对话：\nHuman: 你好\nAssistant: 你好，请问哪里不舒服？"
    written(
        "belle.jsonl", lines(*({"instruction": asking, "input": "", "output": "好的。"} for asking in (turns, plain)))
    )
    several, one = map(said, read("belle.jsonl"))
    code = "for i in range(3):\n    print(i)"
    assert several == [("user", "写一段代码"), ("assistant", code), ("user", "改成打印五次"), ("assistant", "好的。")]
    assert one == [("user", plain), ("assistant", "好的。")]


def test_what_nothing_can_be_learnt_from_is_told_with_its_place_and_reason():
    good = {"messages": [{"role": "user", "content": "头晕"}, {"role": "assistant", "content": "测血压了吗？"}, {"role": "user", "content": "没有"}]}  # fmt: skip
    written(
        "chat.jsonl",
        lines(
            good,
            {"messages": [{"role": "user", "content": "头晕"}, {"role": "assistant", "content": " \n"}]},
            {"messages": [{"role": "user", "content": "头晕"}, {"role": "observation", "content": "120/80"}]},
            {"messages": [{"role": "user", "content": "头晕"}]},
            {"messages": []},
            {"id": "没有对话"},
            "{",
        ),
    )
    kept, *broken = read("chat.jsonl")
    assert said(kept)[-1] == ("user", "没有")
    assert broken[:5] == [
        ("chat.jsonl: row 2", "unreadable: message 2 (assistant): empty"),
        ("chat.jsonl: row 3", "unreadable: message 2: the role 'observation' is neither system, user nor assistant"),
        ("chat.jsonl: row 4", "unreadable: no assistant turn"),
        ("chat.jsonl: row 5", "unreadable: nothing is said in it"),
        ("chat.jsonl: row 6", "unreadable: messages: expected a list of messages, got nothing"),
    ]
    assert [(row.place, row.reason[:12]) for row in broken[5:]] == [("chat.jsonl: line 7", "unreadable: ")]


def test_raw_sources_are_refused_with_the_builder_that_makes_a_release_of_them():
    written("内科.csv", "department,title,ask,answer\n心血管科,高血压,能吃党参吗？,可以口服。\n")
    assert refusal("内科.csv") == (
        "--data 内科.csv: training needs messages, and the columns are department, title, ask, answer: toyhom, and raw "
        "rows are not trained on as they are, since nobody has de-identified them; builders.polish_qa makes a release of it"
    )
    written("smile.jsonl", lines({"dialogue": [{"role": "client", "content": "我很迷茫"}]}))
    assert refusal("smile.jsonl").endswith("builders.curate_dialogues makes a release of it")
    written("notes.jsonl", lines({"病历": "上腹痛三天"}))
    assert "training needs messages, and the columns are 病历; conversations" in refusal("notes.jsonl")


def test_what_is_neither_here_nor_a_name_on_the_hub_is_refused():
    assert (
        refusal("no/such/file.jsonl")
        == "--data no/such/file.jsonl: no such file or folder, and not ORG/NAME on the Hub"
    )
    written("org/set/chat.jsonl", lines(LAYOUTS["messages"]))
    assert opened("org/set").name == "set"  # a folder here wins over a name there
    assert "a revision is for data sets on the Hub" in refusal("org/set@v1")
    assert "is one table and has no configs" in refusal("org/set/chat.jsonl:train")
    assert refusal("org/set:b").endswith("no folder b in it; its folders are none")


def test_one_row_in_twenty_of_a_table_is_held_out_and_shares_no_cluster_with_the_others():
    twins = [asked(number).replace("？", "呀？") for number in range(0, 400, 2)]
    questions = [*map(asked, range(400)), *twins]
    written("qa.jsonl", lines(*({"instruction": each, "input": "", "output": "请来复诊。"} for each in questions)))
    one = opened("qa.jsonl")
    train, held_out = list(one.read("train")), list(one.read("validation"))
    assert (splits(one), one.licenses, one.rehearsal) == (("train", "validation"), {"": len(train)}, False)
    assert len(train) + len(held_out) == 600
    assert 15 <= len(held_out) <= 45  # of 600 rows 30, give or take three standard deviations of 400 draws
    assert {row.cluster for row in train} & {row.cluster for row in held_out} == set()
    clusters = {row.place: row.cluster for row in (*train, *held_out)}
    assert clusters["qa.jsonl: row 401"] == "qa.jsonl:1"  # the twin of row 1
    assert len(set(clusters.values())) == 400


def test_the_same_seed_holds_out_the_same_rows_and_another_one_others():
    written("qa.jsonl", lines(*({"prompt": asked(number), "completion": "请来复诊。"} for number in range(300))))
    held_out = [places(opened("qa.jsonl", seed), "validation") for seed in (1, 1, 2)]
    assert held_out[0] == held_out[1] != held_out[2]


def test_a_crowd_of_near_duplicates_is_trained_on_and_never_held_out():
    same = "请把下面的诊断名称换成标准名称"
    written(
        "norm.jsonl", lines(*({"instruction": same, "input": "", "output": f"病名{number}"} for number in range(60)))
    )
    cuts = {splits(opened("norm.jsonl", seed)) for seed in range(15, 20)}  # the hash alone would hold it out with 17
    assert cuts == {("train",)}


def test_files_of_a_folder_are_held_out_as_their_names_say():
    row = lines(LAYOUTS["messages"])
    for name in ("train.jsonl", "more.jsonl", "valid_01.jsonl", "test/0.jsonl"):
        written(f"set/{name}", row)
    one = opened("set")
    assert {split: places(one, split) for split in splits(one)} == {
        "train": ["more.jsonl: row 1", "train.jsonl: row 1"],
        "validation": ["valid_01.jsonl: row 1"],
        "test": ["test/0.jsonl: row 1"],
    }
    written("held/dev.jsonl", row)
    assert refusal("held") == "--data held: nothing to train on: its files are named validation"
    assert splits(opened("held/dev.jsonl")) == ("train",)  # a file that is named itself is meant


def test_a_table_is_known_by_its_content_wherever_and_whenever_it_was_written():
    first, second = written("a/chat.jsonl", lines(LAYOUTS["alpaca"])), written("b/chat.jsonl", lines(LAYOUTS["alpaca"]))
    os.utime(second, (1, 1))
    assert opened(first).revision == opened(second).revision == sha256_of(first)


def test_rows_of_a_release_stay_marked_when_only_a_file_of_it_is_named():
    folder = release("set", {"polished_qa": {"train": [answered(0, license="mit", rehearsal=True)]}})
    one = opened(folder / "polished_qa" / "train-00000-of-00001.parquet")
    assert (one.licenses, one.rehearsal) == ({"mit": 1}, True)


ON_THE_HUB = """
import json, sys
from pathlib import Path
from schemas.settings import InputError
from schemas.train_settings import data_choice
from trainers.engine.rows.data_sets import open_data

for value in sys.argv[1:]:
    try:
        (one,) = open_data([data_choice(value)], Path("scratch"))
        asked = {split: [row.messages[0].content for row in one.read(split)] for split in one.pieces}
        print(json.dumps([one.name, one.revision, one.version, one.configs, asked]))
    except InputError as wrong:
        print(json.dumps(str(wrong)))
"""


def test_data_sets_on_the_hub_are_read_at_a_commit_as_releases_or_as_tables(tmp_path):
    folder = release("set", {"qa": {"train": [answered(0)]}, "more": {"train": [answered(2)]}})
    ours = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    chat = {name: lines({"prompt": name, "completion": "多喝水。"}).encode() for name in ("a", "b", "c")}
    with running_hub() as hub:
        hub.repos |= {name: Repo(name) for name in ("org/ours", "org/chat")}
        tagged = hub.commit("org/ours", ours, "v1")
        hub.repos["org/ours"].tags["v1.2.0"] = tagged
        hub.commit("org/ours", {"README.md": b"later"}, "words")
        files = {"data/train.jsonl": chat["a"], "data/validation.jsonl": chat["b"], "en/train.jsonl": chat["c"]}
        head = hub.commit("org/chat", files, "rows")
        values = ["org/ours@v1.2.0", "org/ours:more", "org/ours:none", "org/chat", "org/chat:en", "org/nobody"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **client_env(hub, tmp_path / "home")}
        command = [sys.executable, "-c", ON_THE_HUB, *values]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        assert ended.returncode == 0, ended.stderr
        at_tag, one, unknown, table, english, nobody = map(json.loads, ended.stdout.splitlines())
        latest = hub.repos["org/ours"].head
    assert at_tag == ["org/ours", tagged, "1.2.0", ["qa", "more"], {"train": [asked(0), asked(2)]}]
    assert one == ["org/ours", latest, "1.2.0", ["more"], {"train": [asked(2)]}]
    assert unknown == "--data org/ours: no config none; it has qa, more"
    assert table == ["org/chat", head, "", [], {"train": ["a"], "validation": ["b"]}]
    assert english == ["org/chat", head, "", ["en"], {"train": ["c"]}]
    assert nobody.startswith("--data org/nobody: no such file or folder, and no data set on the Hub of that name")


def test_a_set_with_a_share_fills_it_and_the_others_stand_once():
    assert counts_of([300, 1000], [None, 0.25]) == [300, 100]  # 100 of 400 rows are a quarter
    assert counts_of([120, 80, 1000, 1000], [None, None, 0.25, 0.25]) == [120, 80, 100, 100]
    mix = mixed([300, 1000], [300, 100], seed=0)
    assert sorted(mix.rows[mix.sets == 0]) == list(range(300))
    assert len(set(mix.rows[mix.sets == 1])) == 100
    assert mix.rows[mix.sets == 1].max() > 500  # drawn from all of them, not the first hundred


def test_a_set_too_small_for_its_share_gives_whole_passes_and_a_draw():
    assert counts_of([300, 40], [None, 0.25]) == [300, 100]
    mix = mixed([300, 40], [300, 100], seed=0)
    times = Counter(mix.rows[mix.sets == 1].tolist())
    assert Counter(times.values()) == {2: 20, 3: 20}  # two passes of 40, and 20 of them once more


def test_when_every_set_has_a_share_none_is_repeated_and_one_is_used_up():
    assert counts_of([100, 900], [0.25, 0.75]) == [100, 300]
    assert counts_of([7, 93], [0.07, 0.93]) == [7, 93]  # although 7 / 0.07 is 99.99999999999999 here
    assert counts_of([10, 10], [1 / 3, 2 / 3]) == [5, 10]


def test_shares_that_cannot_be_had_are_refused():
    with pytest.raises(ValueError, match=r"every data set has a share, and they add up to 0\.75, not to 1"):
        counts_of([100, 100], [0.5, 0.25])
    with pytest.raises(ValueError, match="the shares add up to 1; nothing is left"):
        counts_of([100, 100, 100], [None, 0.5, 0.5])


def test_the_order_is_shuffled_and_the_seed_s():
    first, again, other = (mixed([500, 0, 500], [500, 0, 500], seed) for seed in (1, 1, 2))
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.sets, again.sets)
    assert not np.array_equal(first.rows, other.rows)
    assert Counter(first.sets.tolist()) == {0: 500, 2: 500}
    early = Counter(first.sets[:500].tolist())
    assert set(early) == {0, 2}
    assert abs(early[0] - 250) < 50  # 500 of 1,000 drawn: standard deviation 7.9


def test_the_general_probe_is_forty_chinese_and_twenty_english_conversations():
    probe = general_probe()
    chinese = [row for row in probe if any("一" <= letter <= "鿿" for letter in row.messages[0].content)]
    assert (len(probe), len(chinese)) == (60, 40)
    assert {tuple(message.role for message in row.messages) for row in probe} == {("user", "assistant")}
    assert len({row.messages[0].content for row in probe}) == 60
    assert probe[0].place == "general_probe.jsonl: row 1"


def test_real_chat_sets_are_read_whole_and_real_raw_ones_refused(shared_data):
    sets = {"medicalgpt_sample/medical_sft_1K_format.jsonl": 1000, "bentsao/llama_data.json": 8658}
    for name, rows in sets.items():
        found = read(shared_data / name)
        assert Counter(type(row) for row in found) == {Conversation: rows}
        assert len({row.place for row in found}) == rows
    for name in ("toyhom_zh_qa", "smile/smile_2000.jsonl", "chineseblue_cmdd_dev", "huatuo26m_test_first2000"):
        assert "nobody has de-identified them" in refusal(shared_data / name)
    assert "the columns are id, name, instruction, instances" in refusal(shared_data / "seed_tasks/belle")
