"""Real consultations through the front door: put in order, the patient untouched, the doctor reworded and nothing else."""

import json
import signal
from pathlib import Path

import pytest
from clinic import (
    FEVER,
    LOOSE,
    Teacher,
    build,
    cmdd,
    curate,
    figures,
    politely,
    rejected,
    rows,
    started,
)
from folders import files_of, manifest_is_true
from scenes import bought, bought_again, receipts, wait_until

from builders.engine.privacy.mask import mask_all

REHEARSED = ("--teacher", "rehearsal")
SHORT = (
    "患：孩子两岁，晚上睡觉老是磨牙，是不是有蛔虫？",
    "医：磨牙不一定是蛔虫，可以查大便常规。睡前不要太兴奋，暂时不要吃打虫药。",
)


def turns(row):
    return [(turn["speaker"], turn["text"]) for turn in row["turns"]]


# ------------------------------------------------------------------ in order


def test_bubbles_become_turns_from_the_patient_to_the_doctor_and_farewells_are_cut(serve):
    made, _ = curate(serve, [FEVER])
    assert made.code == 0, made.talk
    (row,) = rows("curate_dialogues")
    assert turns(row) == [
        ("patient", "宝宝八个月，发烧38.5℃，一天了\n还有点咳嗽"),
        ("doctor", "您好，您好\n有没有流鼻涕？精神怎么样？"),
        ("patient", "没有流鼻涕\n精神还好"),
        ("doctor", "您好，可以口服布洛芬混悬液，每次2.5ml，一日三次\n体温38.5℃以下不要吃退烧药"),
    ]
    assert [turn["raw"] for turn in row["turns"]] == [
        "",
        "您好\n有没有流鼻涕？精神怎么样？",
        "",
        "可以口服布洛芬混悬液，每次2.5ml，一日三次\n体温38.5℃以下不要吃退烧药",
    ]
    assert (row["origin"], row["form"], row["department"], row["key"]) == (
        "rewritten",
        "conversation",
        "pediatrics",
        "cmdd/10270001",
    )
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 2
    assert figures(row) | {"bubbles": 11, "merged": 4, "farewells_cut": 3, "turns": 2} == figures(row)


def test_the_description_stands_first(serve):
    told = {"case": "女，32岁，右下腹痛两天，伴低热", "turns": [{"role": side, "content": text} for side, text in [
        ("doctor", "疼痛有没有转移？"), ("patient", "先是肚脐周围疼，后来到右下腹"), ("doctor", "考虑阑尾炎，尽快查血常规和B超"),
        ("patient", "能不能先吃消炎药"), ("doctor", "可以口服头孢克肟，但不要耽误检查"),
    ]]}  # fmt: skip
    Path("visits.jsonl").write_text(json.dumps(told, ensure_ascii=False))
    build(
        "curate_dialogues",
        "visits.jsonl",
        "--columns",
        "description=case,dialogue=turns",
        *Teacher(serve, politely).flags,
    )
    (row,) = rows("curate_dialogues")
    assert turns(row)[0] == ("patient", told["case"])
    assert [speaker for speaker, _ in turns(row)] == ["patient", "doctor"] * 3


def test_the_patients_words_are_kept_byte_for_byte_and_only_what_is_private_is_masked(serve):
    said = (
        "患：  我叫李晓雯，孩子发烧３８．５度～～😭 ",
        "患：电话13912345678，昨晚在睢宁县人民医院打的针(⊙o⊙)",
        "医：李晓雯您好，咳嗽吗？",
        "患：不咳,,就是蔫。。。",
        "医：多喝水，口服布洛芬2.5ml，一天三次",
    )
    curate(serve, [said])
    (row,) = rows("curate_dialogues")
    masked = mask_all([bubble[2:] for bubble in said]).texts
    heard = [text for speaker, text in turns(row) if speaker == "patient"]
    assert heard == [f"{masked[0]}\n{masked[1]}", masked[3]]
    assert heard[0].startswith("  我叫[姓名1]，孩子发烧３８．５度～～😭 \n电话[电话1]，")
    assert row["turns"][1]["raw"] == "[姓名1]您好，咳嗽吗？"
    assert figures(row) | {"masked_name": 2, "masked_phone": 1, "masked_hospital": 1} == figures(row)


def test_nobody_speaks_twice_running_and_all_is_accounted_for(serve):
    picture = ("患：大夫看看是什么疹子，痒三天了", "医：从图片上看是湿疹", "患：用什么药", "医：外用炉甘石洗剂")
    bare = ("患：你好", "医：您好", "患：谢谢", "医：不客气")
    made, teacher = curate(serve, [FEVER, picture, bare, SHORT, LOOSE, FEVER])
    assert (made.said["rows"], made.accounted) == (2, 6)
    for row in rows("curate_dialogues"):
        speakers = [turn["speaker"] for turn in row["turns"]]
        assert speakers == ["patient", "doctor"] * (len(speakers) // 2)
    found = {one["key"]: (one["reason"], one["detail"]) for one in rejected()}
    assert found.pop("cmdd/10270002")[0] == "depends on a picture"
    assert found.pop("cmdd/10270003")[0] == "no complaint"
    assert found.pop("cmdd/10270004") == ("too few turns", "1 of each; --expand makes more of them")
    assert found == {"cmdd/10270006": ("near-duplicate", "Jaccard 1.000 with cmdd/10270001")}
    assert len(teacher.heard) == 2


def test_what_is_no_consultation_is_rejected_with_its_place(serve):
    folder = Path(cmdd("visits", [FEVER, LOOSE]))
    (folder / "003.json").write_text('{"example-id": "9", "dialogue-content": []}')
    (folder / "004.json").write_text('{"example-id": "8", "note": "empty"}')
    stranger = {"speaker": "家属王芳", "sentence": "孩子发烧了"}
    (folder / "005.json").write_text(json.dumps({"example-id": "7", "dialogue-content": [stranger]}))
    whole = json.dumps(json.loads((folder / "002.json").read_text()) | {"example-id": "6"})
    (folder / "002.json").rename(folder / "007.json")
    (folder / "006.jsonl").write_text(f'{whole}\n{{"example-id": "5", "dialogue-con\n')
    made = build("curate_dialogues", folder, "--format", "cmdd", *Teacher(serve, politely).flags)
    assert made.code == 0, made.talk
    assert (made.said["rows"], made.said["rejected"]) == (2, {"near-duplicate": 1, "unreadable": 4})
    found = {one["row"]["taken"][1]: one["detail"] for one in rejected() if one["reason"] == "unreadable"}
    assert found.pop("003.json: row 1") == "dialogue-content: nothing is said in it"
    assert found.pop("004.json: row 1").startswith("dialogue-content: expected a list of objects, got nothing")
    assert "is neither patient nor doctor" in found.pop("005.json: row 1")
    assert found.pop("006.jsonl: line 2").startswith("not JSON: ")


def test_a_torn_file_is_named_with_its_line_before_anything_is_asked(serve):
    folder = Path(cmdd("visits", [FEVER, LOOSE]))
    torn = (folder / "002.json").read_text()
    (folder / "002.json").write_text(torn[: len(torn) // 2])
    teacher = Teacher(serve, politely)
    made = build("curate_dialogues", folder, *teacher.flags)
    assert (made.code, teacher.heard) == (2, [])
    assert made.talk.startswith("curate_dialogues: visits/002.json: line ")


# ------------------------------------------------------------------ as they were spoken


def test_as_spoken_asks_nobody_and_changes_nothing():
    made = build("curate_dialogues", cmdd("visits", [FEVER, LOOSE]), "--as-spoken")
    assert made.code == 0, made.talk
    assert (made.said["rows"], made.said["calls"]) == (2, 0)
    row = rows("curate_dialogues")[0]
    assert turns(row)[3] == ("doctor", "可以口服布洛芬混悬液，每次2.5ml，一日三次\n体温38.5℃以下不要吃退烧药")
    assert (row["origin"], {turn["raw"] for turn in row["turns"]}) == ("real", {""})
    assert row["provenance"] | {"prompts": [], "teachers": [], "calls": [], "rehearsal": False} == row["provenance"]
    assert row["provenance"]["source_license"] == "Apache-2.0"


def test_a_card_of_spoken_consultations_names_no_teacher():
    build("curate_dialogues", cmdd("visits", [FEVER, LOOSE]), "--as-spoken")
    card = Path("set/README.md").read_text()
    assert "2 rows made by `curate_dialogues`" in card
    assert "written by a language model" not in card


def test_a_teacher_who_would_not_be_asked_is_bad_input():
    made = build("curate_dialogues", cmdd("visits", [FEVER]), "--as-spoken", *REHEARSED)
    assert made.code == 2
    assert "--as-spoken: nobody is asked; leave out --teacher" in made.talk


def test_every_turn_of_the_doctor_says_what_it_does():
    said = (
        "患：孩子咳嗽三天了，有痰",
        "医：发烧吗？",
        "患：不发烧",
        "医：嗯嗯，好的",
        "患：要不要吃头孢",
        "医：不用吃头孢，可以口服氨溴索。家里有雾化机吗？",
        "患：有的",
        "医：那就用布地奈德雾化，一天两次",
    )
    build("curate_dialogues", cmdd("visits", [said]), "--as-spoken")
    (row,) = rows("curate_dialogues")
    assert [turn["act"] for turn in row["turns"]] == ["", "ask", "", "close", "", "both", "", "advise"]
    assert figures(row)["inquiry_rate"] == 0.5


def test_a_doctor_who_asks_too_little_is_left_out():
    flags = (cmdd("visits", [FEVER, LOOSE]), "--as-spoken", "--min-inquiry-rate")
    assert build("curate_dialogues", *flags, 0.5).said["rows"] == 1  # 1 of 2 turns asks, and 1 of 3
    (found,) = rejected()
    assert (found["key"], found["reason"]) == ("cmdd/10270002", "asks too little")
    assert found["detail"] == "inquiry rate 0.33"


# ------------------------------------------------------------------ always the same, whatever happens


def visits(count):
    """Consultations that are all different."""
    troubles = ("咳嗽", "拉肚子", "发烧", "流鼻涕", "呕吐", "便秘", "出皮疹")
    return [
        (
            f"患：孩子{n + 5}个月，{troubles[n % 7]}{n % 4 + 2}天了，夜里更厉害",
            f"医：体温多少度？{troubles[(n + 2) % 7]}有没有？",
            f"患：量了三十七度{n % 9}，别的没看出来",
            f"医：先观察{n % 3 + 1}天，多喂水，口服{('益生菌', '蒙脱石散', '氨溴索')[n % 3]}，每次{n + 1}ml，一天{n % 2 + 2}次",
        )
        for n in range(count)
    ]


def test_the_first_consultations_are_taken_and_concurrency_changes_no_byte():
    folder = cmdd("visits", visits(30))
    for at_once in (1, 7, 200):
        flags = ("--rows", 10, "--at-once", at_once, "--ledger", f"{at_once}.db", "--out", f"set{at_once}")
        assert build("curate_dialogues", folder, *REHEARSED, *flags).said["rows"] == 10
    assert files_of(Path("set1")) == files_of(Path("set7")) == files_of(Path("set200"))
    judged = sorted([row["key"] for row in rows("curate_dialogues", "set1")] + [one["key"] for one in rejected("set1")])
    assert judged == [f"cmdd/1027{n + 1:04d}" for n in range(len(judged))]


def test_a_second_run_asks_nothing_and_leaves_every_byte():
    folder = cmdd("visits", visits(12))
    build("curate_dialogues", folder, *REHEARSED)
    before = files_of(Path("set"))
    assert build("curate_dialogues", folder, *REHEARSED).said["calls"] == 0
    assert files_of(Path("set")) == before
    assert manifest_is_true(Path("set"))


def test_a_killed_run_is_finished_by_the_next_one_which_buys_nothing_twice(rehearsal):
    server = rehearsal(latency=0.05, spread=0.5)
    at = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url)
    flags = (cmdd("visits", visits(30)), *at, "--at-once", 4)
    with started("curate_dialogues", *flags) as child:
        wait_until(lambda: len(bought()) >= 6, child)
        child.send_signal(signal.SIGKILL)
        child.wait()
        durable = receipts(server)
    assert 6 <= len(durable) < 30
    assert build("curate_dialogues", *flags).code == 0
    assert bought_again(server, durable) == []
    build("curate_dialogues", *flags, "--ledger", "quiet.db", "--out", "quiet")
    assert files_of(Path("set")) == files_of(Path("quiet"))


@pytest.mark.parametrize(("more", "calls"), [((), 2), (("--knowledge", "graph.jsonl"), 4)])
def test_a_dry_run_asks_nothing_and_writes_nothing(more, calls):
    Path("graph.jsonl").write_text('{"head": "布洛芬", "relation": "适应证", "tail": "发热"}\n')
    flags = (cmdd("visits", [FEVER, LOOSE]), "--teacher", "gpt-5-mini@openai", "--dry-run", *more)
    plan = build("curate_dialogues", *flags)
    assert (plan.code, plan.said["calls"]) == (0, calls), plan.talk
    assert not Path("set").exists()


def test_a_pilot_builds_no_more_than_it_says():
    pilot = build("curate_dialogues", cmdd("visits", visits(20)), *REHEARSED, "--pilot", 4)
    assert (pilot.code, pilot.said["rows"], pilot.said["path"]) == (0, 4, None)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [REHEARSED, ("--as-spoken",), (*REHEARSED, "--expand", "--min-turns", "4")])
def test_every_real_consultation_is_kept_or_rejected_with_a_reason(shared_data, flags):
    made = build("curate_dialogues", shared_data / "chineseblue_cmdd_dev" / "dev", *flags)
    assert (made.code, made.accounted) == (0, 413)
    assert made.said["rows"] >= 0.8 * 413
    assert len(rows("curate_dialogues")) + len(rejected()) == 413
