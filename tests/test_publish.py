"""Several builds become one data set: nothing twice, nothing of an evaluation set, and splits cut over everything."""

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import datasets
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Outcome, outcome
from folders import files_of, manifest_is_true
from hub_server import client_env, running_hub
from huggingface_hub import DatasetCard

from builders.engine.folder import as_json, only_builder_of
from builders.engine.parquet import ParquetShards
from builders.engine.publication.mix import mix_of
from builders.engine.release import hashes
from builders.publish import Publish, main
from schemas.base import Provenance
from schemas.dialogue import RealDialogue, Turn
from schemas.features import arrow_schema, features
from schemas.instruction import Instruction
from schemas.qa import QA
from schemas.settings import run_command

WORDS = [
    "头晕",
    "咳嗽",
    "发烧",
    "腹泻",
    "心悸",
    "失眠",
    "皮疹",
    "便秘",
    "胸闷",
    "耳鸣",
    "水肿",
    "贫血",
    "脱发",
    "口臭",
    "抽筋",
    "盗汗",
    "乏力",
    "呕吐",
    "黄疸",
    "血尿",
]
ASKED = "孩子发烧三天，夜里咳嗽，能不能吃布洛芬？"  # 17 letters
ANSWER = "体温超过三十八度五可以按体重服用。多喝水，注意休息。"  # 23 letters, so 40 - 4 = 36 shingles of 5 in all
FAMILIES = {"distilled_instructions": Instruction, "polished_qa": QA, "real_dialogues": RealDialogue}
REPO = "clinic/all"


def said(number, seed=0, words=9):
    """Words that nothing else in a test says."""
    rng = random.Random(f"{seed} {number}")
    return "".join(rng.choices(WORDS, k=words)) + str(number)


def about(source="seeds", license="cc-by-4.0", **more):
    return Provenance(source=source, source_license="cc0-1.0", license=license, teachers=("scripted@host",), **more)


def instruction(key, asked=None, answer=None, **fields):
    return Instruction(
        key=key,
        department="pediatrics",
        role="none",
        instruction=asked or said(key, 1),
        output=answer or said(key, 2),
        **{"provenance": about(), **fields},
    )


def qa(key, asked=None, answer=None, **fields):
    answer = answer or said(key, 4)
    own = {"origin": "rewritten", "provenance": about("toyhom")}
    return QA(key=key, question=asked or said(key, 3), raw=answer, answer=answer, **{**own, **fields})


def talk(key, *texts, **fields):
    speakers = ("patient", "doctor") * 4
    turns = texts or [said(f"{key}{turn}", 5, 5) for turn in range(4)]
    own = {"origin": "real", "provenance": about("clinic")}
    told = tuple(Turn(speaker=who, text=text) for who, text in zip(speakers, turns, strict=False))
    return RealDialogue(key=key, turns=told, **{**own, **fields})


def build(name, *rows, **stated):
    """A release folder as a builder leaves it, every fifth row in its test split."""
    config = {Instruction: "distilled_instructions", QA: "polished_qa", RealDialogue: "real_dialogues"}[type(rows[0])]
    folder = Path(name)
    with ParquetShards(folder / config, arrow_schema(type(rows[0]))) as shards:
        for number, row in enumerate(rows):
            shards.add("test" if number % 5 == 4 else "train", row.record())
    (folder / "reports").mkdir(exist_ok=True)
    rejected = {"answer: too short": 2}
    judged = {"judged": len(rows) + 2, "kept": len(rows), "rejected": rejected}
    (folder / "reports" / "filters.json").write_bytes(as_json(judged))
    manifest = {
        "version": "1.0.0",
        "content": hashlib.sha256(repr(rows).encode()).hexdigest(),
        "config": config,
        "builder": f"build_{config}",
        "code_version": "0.1.0",
        "settings": {"seed": 0},
        "teachers": ["scripted@host"],
        "prompts": {"ask": "a" * 64},
        "ledger_digest": "d" * 64,
        "rehearsal": any(row.provenance.rehearsal for row in rows),
        "files": dict(hashes(folder)),
    }
    (folder / "manifest.json").write_bytes(as_json({**manifest, **stated}))
    return folder


def publish(*flags, out="set"):
    """The command in this process, as a user would call it."""
    told, stderr = io.StringIO(), io.StringIO()
    words = [*map(str, flags), *(("--out", out) if out else ())]
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(stderr), pytest.raises(SystemExit) as ended:
        run_command(Publish, main, words)
    return outcome(ended.value.code, stderr.getvalue(), told.getvalue())


def rows_of(config, out="set"):
    """The rows of a config with the split of each, as they stand in its files."""
    frames = [
        polars.read_parquet(path).with_columns(split=polars.lit(path.name.split("-")[0]))
        for path in sorted(Path(out, config).glob("*.parquet"))
    ]
    return polars.concat(frames)


def keys(config, out="set"):
    return set(rows_of(config, out)["key"])


def rejected(out="set"):
    """Key -> (config, reason, detail)."""
    found = polars.read_parquet(f"{out}/rejected/*.parquet").select("key", "config", "reason", "detail")
    return {key: rest for key, *rest in found.iter_rows()}


def report(name, out="set"):
    return json.loads(Path(out, "reports", f"{name}.json").read_text())


def three(count=40):
    """Three builds of so many rows that have nothing in common."""
    return (
        build("ins", *(instruction(f"甲{number}") for number in range(count))),
        build("qa", *(qa(f"乙{number}") for number in range(count))),
        build("talks", *(talk(f"丙{number}") for number in range(count))),
    )


def test_of_rows_that_repeat_each_other_the_earlier_configs_is_kept():
    build("ins", instruction("甲", ASKED, ANSWER), instruction("甲二"))
    build("qa", qa("乙", ASKED, f"{ANSWER}谢谢"), qa("乙二"))
    made = publish("ins", "qa")
    assert made.code == 0, made.talk
    assert (keys("distilled_instructions"), keys("polished_qa")) == ({"甲", "甲二"}, {"乙二"})
    # two letters more are two shingles more: 36 of 38 are shared
    assert rejected() == {"乙": ["polished_qa", "near-duplicate", "Jaccard 0.9474 with distilled_instructions/甲"]}
    assert made.said == {
        "rows": {"distilled_instructions": 2, "polished_qa": 1},
        "removed": {"near-duplicate": 1},
        "version": "1.0.0",
        "path": "set",
        "pushed": None,
    }
    assert report("duplicates")["repeat"] == {"polished_qa": {"distilled_instructions": 1}}


def test_the_order_says_which_config_comes_first_and_is_the_default():
    build("ins", instruction("甲", ASKED, ANSWER), instruction("甲二"))
    build("qa", qa("乙", ASKED, f"{ANSWER}谢谢"))
    assert publish("ins", "qa", "--order", "polished_qa").code == 0
    assert rejected() == {"甲": ["distilled_instructions", "near-duplicate", "Jaccard 0.9474 with polished_qa/乙"]}
    card = DatasetCard.load("set/README.md").data.to_dict()
    assert [config["config_name"] for config in card["configs"]] == ["polished_qa", "distilled_instructions"]
    assert [config.get("default", False) for config in card["configs"]] == [True, False]


def test_within_a_config_the_row_that_comes_first_is_kept():
    build("qa", qa("先", ASKED, ANSWER), qa("同", ASKED, ANSWER), qa("后", ASKED, f"{ANSWER}谢谢"))
    publish("qa")
    assert keys("polished_qa") == {"先"}
    assert {key: why[1] for key, why in rejected().items()} == {"同": "exact copy", "后": "near-duplicate"}


@pytest.mark.parametrize(
    ("flags", "left"),
    [((), 2), (("--max-jaccard", 0.5), 1), (("--granularity", "first-turn"), 1), (("--granularity", "answer"), 2)],
)
def test_what_is_compared_and_how_alike_it_may_be_are_for_the_user_to_say(flags, left):
    """The answer has 23 letters; 20 others behind it share 36 of 36 + 20 shingles, a Jaccard of 0.643."""
    more = "家里先用温水擦身再观察精神和尿量变化情况"
    assert len(more) == 20
    build("qa", qa("乙", ASKED, ANSWER), qa("乙二", ASKED, ANSWER + more))
    publish("qa", *flags)
    assert len(keys("polished_qa")) == left


def test_counts_add_up_at_every_arrow():
    build(
        "ins",
        *(instruction(f"甲{number}") for number in range(12)),
        instruction("甲同", said("甲3", 1), said("甲3", 2)),
    )
    build("qa", *(qa(f"乙{number}") for number in range(9)), qa("考", ASKED, ANSWER))
    Path("exam.csv").write_text(f"stem\n{ASKED}{ANSWER}\n")
    flags = ("--mix", "polished_qa=7", "--against", "exam.csv", "--against-text", "stem")
    made = publish("ins", "qa", *flags)
    none = {"same_row": 0, "exact_copy": 0, "near_duplicate": 0, "evaluation_item": 0, "left_out": 0}
    assert report("counts") == {
        "distilled_instructions": {**none, "read": 13, "exact_copy": 1, "rows": 12},
        "polished_qa": {**none, "read": 10, "evaluation_item": 1, "left_out": 2, "rows": 7},
    }
    assert made.said["removed"] == {"exact copy": 1, "evaluation item": 1, "left out by the mix": 2}
    assert Counter(why[1] for why in rejected().values()) == made.said["removed"]
    assert "polished_qa: 10 read → 1 evaluation item → 2 left out → 7 rows" in made.talk
    told = [json.loads(line) for line in Path("set/reports/rejected.jsonl").read_text().splitlines()]
    assert sorted(one["id"] for one in told) == sorted(hashlib.sha256(key.encode()).hexdigest() for key in rejected())
    assert manifest_is_true(Path("set"))


def test_a_rejected_row_is_kept_whole():
    row = qa("乙", ASKED, ANSWER)
    build("qa", qa("先", ASKED, ANSWER), row)
    publish("qa")
    (text,) = polars.read_parquet("set/rejected/*.parquet")["row"]
    assert QA.from_record(json.loads(text)) == row


def test_no_cluster_stands_in_two_splits_over_all_configs():
    """The same first turn in every config, answered in three ways."""
    asked = [said(number, 9) for number in range(120)]
    build("ins", *(instruction(f"甲{number}", text) for number, text in enumerate(asked)))
    build("qa", *(qa(f"乙{number}", f"{text}？") for number, text in enumerate(asked)))
    build("talks", *(talk(f"丙{number}", text, said(number, 10)) for number, text in enumerate(asked)))
    publish("ins", "qa", "talks")
    splits = {}
    for config, letter in (("distilled_instructions", "甲"), ("polished_qa", "乙"), ("real_dialogues", "丙")):
        rows = rows_of(config)
        assert rows.height == 120
        for key, split, about in rows.select("key", "split", "provenance").iter_rows():
            number = key.removeprefix(letter)
            assert about["cluster"] == f"distilled_instructions/甲{number}"
            splits.setdefault(number, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for (split,) in splits.values()} == {"train", "validation", "test"}
    assert "360 rows in 120 clusters" in Path("set/README.md").read_text()


def test_what_gives_an_evaluation_item_away_leaves_with_the_reason():
    item = "".join(said(number, 20, 3) for number in range(6))  # 6 x 7 letters: a span of 42, and every 13-gram
    build("ins", instruction("甲"), instruction("考", said(7, 21), said(8, 21) + item + said(9, 21, 30)))
    build("talks", talk("丙"), talk("丙考", said(1, 22), said(2, 22), item, said(3, 22)))
    Path("exam.jsonl").write_text(
        json.dumps({"question": "无关" + said(5, 23)}) + "\n" + json.dumps({"question": item}) + "\n"
    )
    made = publish("ins", "talks", "--against", "exam.jsonl", "--against-text", "question")
    assert made.said["removed"] == {"evaluation item": 2}
    assert rejected()["考"] == [
        "distilled_instructions",
        "evaluation item",
        "100% of the 13-grams of exam.jsonl: row 2",
    ]
    assert rejected()["丙考"][1] == "evaluation item"
    (measured,) = report("evaluation")
    assert (measured["benchmark"], measured["items"], measured["items_hit"], measured["removed"]) == (
        "exam.jsonl",
        2,
        1,
        2,
    )
    assert "| exam.jsonl | 2 | 1 | 2 | holds_half_of_an_item 2 |" in Path("set/README.md").read_text()
    assert "丙考" not in Path("set/reports/evaluation.json").read_text()  # a key may be text


def test_the_mix_is_exact_and_drawn_by_the_seed():
    three()
    taken = {}
    for seed in (0, 0, 1):
        made = publish(
            "ins", "qa", "talks", "--mix", "polished_qa=11,real_dialogues=5", "--seed", seed, out=f"set{len(taken)}"
        )
        assert made.said["rows"] == {"distilled_instructions": 40, "polished_qa": 11, "real_dialogues": 5}
        taken[len(taken)] = keys("polished_qa", f"set{len(taken)}")
    assert taken[0] == taken[1] != taken[2]
    hashed = sorted(range(40), key=lambda number: hashlib.sha256(f"0\npolished_qa/乙{number}".encode()).digest())
    assert taken[0] == {f"乙{number}" for number in hashed[:11]}


def test_a_larger_mix_holds_the_smaller_one():
    three()
    publish("qa", "--mix", "polished_qa=11", out="small")
    publish("qa", "--mix", "polished_qa=12", out="large")
    assert keys("polished_qa", "small") < keys("polished_qa", "large")


def test_the_mix_of_huatuo_is_that_of_the_paper_or_a_part_of_it():
    assert sum(mix_of("huatuo").values()) == 61_400 + 69_768 + 68_888 + 25_986 == 226_042
    # 614.00, 697.68, 688.88 and 259.86, half up
    assert list(mix_of("huatuo/100").values()) == [614, 698, 689, 260]
    assert mix_of("huatuo/1600")["real_dialogues"] == 16  # 16.24
    assert mix_of("huatuo/51972")["real_dialogues"] == 1  # 0.50 exactly


def test_too_few_rows_for_the_mix_release_nothing_unless_that_is_said():
    three(10)
    made = publish("ins", "qa", "--mix", "polished_qa=11")
    assert (made.code, made.said["version"]) == (3, None)
    assert "short: polished_qa: 10 rows are left, --mix asks for 11. Nothing was released" in made.talk
    assert not Path("set").exists()
    assert publish("ins", "qa", "--mix", "polished_qa=11", "--short").said["rows"]["polished_qa"] == 10


def test_a_config_of_which_nothing_is_left_is_short_and_then_left_out():
    build("ins", instruction("甲", ASKED, ANSWER))
    build("qa", qa("乙", ASKED, ANSWER))
    made = publish("ins", "qa")
    assert made.code == 3
    assert "polished_qa: no row is left" in made.talk
    assert publish("ins", "qa", "--short").code == 0
    assert json.loads(Path("set/manifest.json").read_text())["config"] == "distilled_instructions"
    assert not Path("set/polished_qa").exists()
    assert report("counts")["polished_qa"]["rows"] == 0


def test_a_second_run_changes_nothing_and_another_place_gets_the_same_bytes():
    folders = three()
    publish(*folders)
    before, written = files_of(Path("set")), Path("set/manifest.json").stat().st_mtime_ns
    again = publish(*folders)
    assert (again.code, again.said["version"]) == (0, "1.0.0")
    assert Path("set/manifest.json").stat().st_mtime_ns == written
    assert publish(*folders, out="elsewhere").code == 0
    assert files_of(Path("set")) == before == files_of(Path("elsewhere"))


def test_every_config_loads_with_the_types_of_its_family(tmp_path):
    folders = three()
    publish(*folders)
    for config, family in FAMILIES.items():
        loaded = datasets.load_dataset("set", config, cache_dir=str(tmp_path / "cache"))
        assert {name: split.num_rows for name, split in loaded.items()} == dict(
            rows_of(config)["split"].value_counts().iter_rows()
        )
        assert all(split.features == features(family) for split in loaded.values())
        row = family.from_record(loaded["train"][0])
        assert row.provenance.cluster == f"{config}/{row.key}"


def test_rows_are_as_they_were_but_for_cluster_and_missing_licence():
    rows = [qa("乙"), qa("丙", provenance=about("toyhom", license=""))]
    build("qa", *rows)
    publish("qa", "--license", "cc0-1.0")
    found = {
        row["key"]: QA.from_record({k: v for k, v in row.items() if k != "split"})
        for row in rows_of("polished_qa").to_dicts()
    }
    kept = {row.key: row.model_copy(update={"provenance": row.provenance.model_copy(update={"cluster": f"polished_qa/{row.key}", "license": license})})
            for row, license in zip(rows, ("cc-by-4.0", "cc0-1.0"), strict=True)}  # fmt: skip
    assert found == kept
    assert "- cc-by-4.0\n- cc0-1.0\n" in Path("set/README.md").read_text()


def test_the_version_says_what_became_of_the_rows_and_old_ones_keep_their_split():
    ins, talks_folder = three()[0], Path("talks")
    publish(ins, "qa")
    old = {
        config: dict(rows_of(config).select("key", "split").iter_rows())
        for config in ("distilled_instructions", "polished_qa")
    }
    more = publish(talks_folder, ins, "qa", "--order", "real_dialogues,distilled_instructions")
    assert (more.code, more.said["version"]) == (0, "1.1.0"), more.talk
    assert "since 1.0.0: 40 added, 0 removed, 0 changed, 0 moved" in more.talk
    for config, splits in old.items():
        assert dict(rows_of(config).select("key", "split").iter_rows()) == splits
    fewer = publish(ins, "qa")
    assert fewer.said["version"] == "2.0.0"
    assert "0 added, 40 removed" in fewer.talk
    assert not Path("set/real_dialogues").exists()
    assert manifest_is_true(Path("set"))


def test_a_release_can_go_on_from_that_of_a_single_builder():
    three()
    made = publish("ins", "qa", "--previous", "qa")
    assert made.said["version"] == "1.1.0"  # 40 rows of another config were added
    was = dict(rows_of("polished_qa", "qa").select("key", "split").iter_rows())
    assert dict(rows_of("polished_qa").select("key", "split").iter_rows()) == was
    refused = publish("ins", "--previous", "talks", out="other")
    assert refused.code == 2
    assert "--previous talks: holds a release of real_dialogues, and none of distilled_instructions" in refused.talk


def test_two_folders_of_one_config_are_joined_and_a_row_in_both_counts_once():
    build("one", qa("乙1"), qa("乙2"))
    build("two", qa("乙2"), qa("乙3"))
    made = publish("one", "two")
    assert keys("polished_qa") == {"乙1", "乙2", "乙3"}
    assert made.said["removed"] == {"same row twice": 1}
    config = json.loads(Path("set/manifest.json").read_text())["configs"]["polished_qa"]
    assert [made["rows"] for made in config["made"]] == [2, 2]


def test_a_key_that_two_different_rows_have_names_both():
    build("one", qa("乙1"), qa("乙2"))
    build("two", qa("乙3"), qa("乙2", "别的问题是什么"))
    made = publish("one", "two")
    assert made.code == 2
    files = "polished_qa/train-00000-of-00001.parquet: row 2"
    assert f"one/{files} and two/{files}: two different rows have the key '乙2'" in made.talk


def test_a_file_that_lies_about_an_id_is_not_joined_silently():
    build("one", qa("乙1"), qa("乙2"))
    build("two", qa("乙2"))
    path = Path("two/polished_qa/train-00000-of-00001.parquet")
    table = pq.read_table(path)
    at = table.schema.get_field_index("messages")
    messages = pa.array([[{"role": "user", "content": "别的问题是什么"}]], table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), messages), path)
    restate("two", files={f"polished_qa/{name}": entry for name, entry in hashes(path.parent)})
    made = publish("one", "two")
    assert made.code == 2
    assert f"{path}: row 1: have one key and one id, and other messages" in made.talk


def test_folders_of_one_config_with_other_columns_are_named_with_the_column():
    build("one", qa("乙1"))
    build("two", qa("乙2"))
    path = Path("two/polished_qa/train-00000-of-00001.parquet")
    table = pq.read_table(path)
    at = table.schema.get_field_index("department")
    pq.write_table(table.set_column(at, "department", [[1]]), path)
    restate("two", files={f"polished_qa/{name}": entry for name, entry in hashes(path.parent)})
    made = publish("one", "two")
    assert made.code == 2
    assert f"{path}: column department is not as in one/polished_qa/train-00000-of-00001.parquet" in made.talk


def test_the_card_has_a_section_per_config_and_figures_of_the_files():
    folders = three()
    publish(*folders, "--mix", "polished_qa=30")
    card = Path("set/README.md").read_text()
    assert "110 rows in 3 configs" in card
    assert "| distilled from a model | 40 | 0 |" in card
    assert "| from doctors (real, rewritten, expanded) | 30 | 40 |" in card
    assert "40 rows made by `build_polished_qa` (suwen 0.1.0) with scripted@host, release 1.0.0. Its builder judged 42 and threw away answer: too short 2." in card  # fmt: skip
    assert "| toyhom | cc0-1.0 | 30 |" in card
    for config in FAMILIES:
        assert f'datasets.load_dataset("PATH_OR_REPO", "{config}", split="train")' in card
        assert f"\n## {config}\n" in card
    found = {config: Counter(rows_of(config)["split"]) for config in FAMILIES}
    line = "| polished_qa | 40 | 10 | 30 | " + " | ".join(
        str(found["polished_qa"][split]) for split in ("train", "validation", "test")
    )
    assert line in card


def test_the_manifest_says_of_every_config_what_it_holds():
    folders = three()
    publish(*folders)
    manifest = json.loads(Path("set/manifest.json").read_text())
    assert manifest["config"] == "distilled_instructions+polished_qa+real_dialogues"
    talks_entry = manifest["configs"]["real_dialogues"]
    assert talks_entry["splits"] == dict(Counter(rows_of("real_dialogues")["split"]))
    assert talks_entry["grid"] == {"real": {"conversation": 40}}
    assert talks_entry["builder"] == "build_real_dialogues"
    assert "messages" in talks_entry["columns"]
    assert talks_entry["made"][0]["settings"] == {"seed": 0}
    assert manifest["splits"]["train"] == sum(one["splits"]["train"] for one in manifest["configs"].values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib and pandas, underneath
def test_croissant_is_valid_and_leads_to_the_rows_of_every_config():
    mlcroissant = pytest.importorskip("mlcroissant")
    folders = three(6)
    publish(*folders)
    dataset = mlcroissant.Dataset(jsonld=Path("set/croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    for config in FAMILIES:
        read = {one[f"{config}_rows/key"].decode() for one in dataset.records(f"{config}_rows")}
        assert read == keys(config)


def test_what_people_wrote_into_the_card_stays():
    folders = three(6)
    publish(*folders[:2])
    with Path("set/README.md").open("a") as card:
        card.write("\nWritten here.\n")
    publish(*folders)
    assert Path("set/README.md").read_text().endswith("Written here.\n")


def spoil(folder="qa"):
    path = next(Path(folder).glob("*/train-*"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def forget(folder="qa"):
    next(Path(folder).glob("*/train-*")).unlink()


def restate(folder="qa", **stated):
    path = Path(folder, "manifest.json")
    path.write_bytes(as_json({**json.loads(path.read_text()), **stated}))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("ins", "qa", "--mix", "polished_qa"), "--mix: expected huatuo, huatuo/N or CONFIG=ROWS,…, got 'polished_qa'"),
        (("ins", "qa", "--mix", "preferences=3"), "--mix: no folder holds preferences"),
        (("ins", "qa", "--mix", "huatuo"), "--mix: no folder holds simulated_dialogues"),
        (("ins", "qa", "--mix", "huatuo/90000"), "--mix: huatuo/90000 leaves no row of real_dialogues"),
        (("ins", "qa", "--order", "preferences"), "--order: no folder holds preferences"),
        (("ins", "qa", "--order", "polished_qa,polished_qa"), "--order: polished_qa is named twice"),
        (("ins", "qa", "--max-jaccard", "1.5"), "--max-jaccard"),
        (("ins", "nowhere"), "FOLDER nowhere: no release there"),
        (("ins", "qa", "./ins"), "FOLDER ins: named twice"),
        (("ins", "qa", "--against", "exam.csv"), "exam.csv: no such file or folder"),
        (("ins", "qa", "--public"), "--public: say where to, with --push ORG/NAME"),
        (("ins", "qa", "--push", "nowhere"), "--push nowhere: expected ORG/NAME"),
        (("ins", "--out", "ins/set"), "--out ins/set: is in ins, or holds it"),
        (("ins", "--out", "talks"), "--out talks: holds what build_real_dialogues built; name another folder"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_are_one_line(flags, says):
    three(3)
    made = publish(*flags, out=None if "--out" in flags else "set")
    assert made.code == 2
    assert says in made.talk.splitlines()[-1]
    assert not Path("set").exists()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("ins", "qa"), "--out: say with --out DIR where to write the joined release"),
        (("ins", "qa", "--push", REPO), "--out: say with --out DIR"),
        (("ins",), "--out: say with --out DIR"),
        (("ins", "--push", REPO, "--mix", "distilled_instructions=1"), "--mix: say with --out DIR"),
    ],
)
def test_what_only_a_joined_release_has_needs_a_place_for_one(flags, says):
    three(3)
    made = publish(*flags, out=None)
    assert made.code == 2
    assert says in made.talk


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (spoil, "qa/polished_qa/train-00000-of-00001.parquet is not the file that manifest.json names"),
        (forget, "qa/polished_qa/train-00000-of-00001.parquet is not the file that manifest.json names"),
        (lambda: restate(teachers=5), "FOLDER qa: manifest.json has no teachers, or not of the right kind"),
        (lambda: restate(config="../qa"), "'../qa' is no name for a config"),
        (lambda: restate(config="rejected"), "'rejected' is no name for a config"),
        (lambda: restate(config="other"), "manifest.json names no rows of other"),
        (lambda: restate(configs={}), "is itself a release of publish"),
    ],
)
def test_a_damaged_folder_is_named_and_nothing_is_written(damage, says):
    three(3)
    damage()
    made = publish("ins", "qa")
    assert made.code == 2
    assert says in made.talk
    assert not Path("set").exists()


def test_rehearsal_rows_are_marked_and_not_pushed():
    build("ins", instruction("甲", provenance=about(rehearsal=True)), instruction("乙"))
    assert publish("ins").code == 0
    assert "> **Rehearsal rows.**" in Path("set/README.md").read_text()
    assert json.loads(Path("set/manifest.json").read_text())["rehearsal"]
    refused = publish("ins", "--push", REPO)
    assert refused.code == 2
    assert "--push: ins holds rows from the rehearsal; such rows stay here" in refused.talk


def test_rows_without_a_licence_are_not_pushed():
    build("ins", instruction("甲", provenance=about(license="")), instruction("乙"))
    refused = publish("ins", "--push", REPO)
    assert refused.code == 2
    assert "1 rows have no licence" in refused.talk


def test_a_second_run_into_the_same_folder_is_refused_while_one_runs():
    three(3)
    with only_builder_of(Path("set")):
        made = publish("ins", "qa")
    assert made.code == 2
    assert "another build is writing to it" in made.talk


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("moves", [0, 1, 4, 9, 11])
def test_a_run_killed_while_its_release_takes_its_place_is_finished_by_the_next(monkeypatch, moves):
    folders = three(12)
    for out in ("set", "mirror"):
        publish(*folders[:2], out=out)
    left, replace = [moves], Path.replace

    def move(self, target):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", move)
        with pytest.raises(Killed):
            main(Publish(folders=folders, out=Path("set")))
    assert publish(*folders).code == 0
    publish(*folders, out="mirror")
    assert files_of(Path("set")) == files_of(Path("mirror"))
    assert [path.name for path in Path().iterdir() if path.name.startswith(".set")] == []


def test_a_process_killed_while_it_writes_leaves_the_old_release_and_the_next_one_is_whole():
    folders = three(400)
    publish(folders[0])
    before = files_of(Path("set"))
    command = [sys.executable, "-m", "builders.publish", *map(str, folders), "--out", "set"]
    child = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not Path(".set.new").exists() and child.poll() is None:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert files_of(Path("set")) == before
    made = publish(*folders)
    assert (made.code, made.said["version"]) == (0, "1.1.0")
    assert manifest_is_true(Path("set"))
    assert [path.name for path in Path().iterdir() if path.name.startswith(".set")] == []


@pytest.fixture
def hub():
    with running_hub() as running:
        yield running


@pytest.fixture
def push(hub, tmp_path):
    """`push(…)`: the command in a process of its own, whose Hub is the local one."""

    def run(*flags):
        command = [sys.executable, "-m", "builders.publish", *map(str, flags), "--push", REPO]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **client_env(hub, tmp_path / "hf", token="hf_good")}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        return Outcome(*outcome(ended.returncode, ended.stderr, ended.stdout))

    return run


def loaded(hub, tmp_path, config, revision):
    """Sorted keys of a config, as `datasets` loads them at a tag in a process of its own."""
    script = (
        f"import datasets, json; d = datasets.load_dataset({REPO!r}, {config!r}, revision={revision!r});"
        "print(json.dumps(sorted(key for split in d.values() for key in split['key'])))"
    )
    environment = {**os.environ, **client_env(hub, tmp_path / f"hf-{revision}-{config}", token="hf_good")}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def test_several_configs_are_one_commit_and_one_tag_at_which_each_loads(push, hub, tmp_path):
    folders = three(12)
    made = push(*folders, "--out", "set")
    assert made.code == 0, made.talk
    repo = hub.repos[REPO]
    assert repo.private
    assert [commit.title for commit in repo.commits][1:] == ["Release v1.0.0"]
    assert made.said["pushed"] == {"repo": REPO, "commit": repo.head, "tag": "v1.0.0", "pull_request": None}
    for config in FAMILIES:
        assert loaded(hub, tmp_path, config, "v1.0.0") == sorted(keys(config))
    files = repo.files("v1.0.0")
    assert set(files) - {".gitattributes"} == {*json.loads(files["manifest.json"])["files"], "manifest.json"}
    again = push("set")  # as it is
    assert "was there already" in again.talk
    assert len(repo.commits) == 2


def test_the_next_push_goes_on_from_the_hub(push, hub, tmp_path):
    folders = three(12)
    push(*folders[:2], "--out", "set")
    first = {config: rows_of(config).select("key", "split") for config in ("distilled_instructions", "polished_qa")}
    more = push(*folders, "--out", "elsewhere")  # another machine
    assert (more.code, more.said["version"], more.said["pushed"]["tag"]) == (0, "1.1.0", "v1.1.0"), more.talk
    for config, rows in first.items():
        assert sorted(rows.rows()) == sorted(rows_of(config, "elsewhere").select("key", "split").rows())
    fewer = push(*folders[1:], "--out", "elsewhere")
    assert fewer.said["version"] == "2.0.0"
    assert not [name for name in hub.repos[REPO].files("v2.0.0") if name.startswith("distilled_instructions/")]
    assert loaded(hub, tmp_path, "real_dialogues", "v2.0.0") == sorted(keys("real_dialogues", "elsewhere"))


def test_a_single_build_does_not_replace_a_joined_release(push, hub):
    folders = three(6)
    push(*folders, "--out", "set")
    restate(version="3.0.0")
    refused = push("qa")
    assert refused.code == 2
    assert "holds a release that builders.publish joined" in refused.talk
    assert list(hub.repos[REPO].tags) == ["v1.0.0"]


def test_a_pull_request_with_several_configs_is_tagged_once_merged(push, hub):
    folders = three(6)
    proposed = push(*folders, "--out", "set", "--pr")
    assert "/discussions/1" in proposed.said["pushed"]["pull_request"], proposed.talk
    merged = hub.merge(REPO, 1)
    assert push("set").code == 0
    assert hub.repos[REPO].tags == {"v1.0.0": merged}
