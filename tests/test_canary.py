"""A made-up patient goes through every builder that reads what real people said; nothing of her comes out anywhere."""

import json
from pathlib import Path

import polars
import pytest
from clinic import PRESSURE, STOMACH, Teacher, build, cmdd, figures, paid_answers, politely, rejected, rows, toyhom
from folders import files_of

from builders.engine.privacy.patterns import checked
from builders.engine.rehearsal.replies import reply

NAME, PHONE, ID, CHAT = "欧阳晓棠", "13912345678", "32032419850712452X", "oyxt_1985"
MAIL, HOSPITAL, ADDRESS, DATE, RECORD = (
    "ouyang.xt@163.com",
    "睢宁县人民医院",
    "幸福小区3栋2单元501室",
    "2018年3月5日",
    "B7654321",
)
HERS = (NAME, PHONE, ID, CHAT, MAIL, HOSPITAL, ADDRESS, DATE, RECORD, "欧阳", "睢宁", "幸福小区", "3月5日", "ouyang.xt")
WHO = f"我叫{NAME}，电话{PHONE}，身份证{ID}，微信{CHAT}，邮箱{MAIL}，家住{ADDRESS}"
WHERE = f"{DATE}在{HOSPITAL}住院，病历号：{RECORD}"
PLACEHOLDERS = ("[姓名1]", "[电话1]", "[证件号1]", "[社交账号1]", "[邮箱1]", "[地址1]", "[日期1]", "[医院1]", "[编号1]")
MASKED = {"name", "phone", "id_number", "chat", "mail", "address", "date", "hospital", "record"}


def in_sight(made, teacher):
    """Everything that a builder showed to anybody or wrote down, by where; the source and its copy are not."""
    seen = {
        f"request {number}": json.dumps(asked.body, ensure_ascii=False) for number, asked in enumerate(teacher.heard)
    }
    seen |= {"stderr": made.talk, "stdout": made.out, "ledger": paid_answers()}
    for name, data in files_of(Path("set")).items():
        table = name.endswith(".parquet")
        seen[name] = str(polars.read_parquet(f"set/{name}").to_dicts()) if table else data.decode()
    return seen


def traces(seen):
    """Where something of hers stands, as it is or escaped."""
    forms = [(hers, form) for hers in HERS for form in {hers, json.dumps(hers)[1:-1]}]
    return [(where, hers) for where, text in seen.items() for hers, form in forms if form in text]


def rehearsing(serve):
    """A server that answers like the rehearsal and remembers every request."""
    return Teacher(serve, lambda asked: reply(asked.body))


def test_the_identity_number_that_is_planted_is_a_valid_one():
    assert checked(ID)


@pytest.mark.parametrize("mode", ["polished", "distilled"])
def test_nothing_of_a_patient_who_asks_comes_out_of_polish_qa(serve, mode):
    asked = f"{PRESSURE[0]}{WHO}，{WHERE}。"
    answered = f"{NAME}您好，您{DATE}在{HOSPITAL}的检查我看过，{PRESSURE[1]}"
    advertised = f"{PRESSURE[1]}有事打{PHONE}，或加微信{CHAT}，我在{ADDRESS}。"
    torn = f"内科,头痛,{WHO},{WHERE},多喝水\r\n"
    pairs = [(asked, PRESSURE[1]), (STOMACH[0], answered), (STOMACH[0], advertised), (asked, PRESSURE[1])]
    teacher = rehearsing(serve)
    source = toyhom("answers.csv", pairs, tail=torn, title=f"患者姓名：{NAME}，{HOSPITAL}报告")
    made = build("polish_qa", source, *teacher.flags, "--mode", mode)
    assert made.code == 0, made.talk
    assert made.said["rejected"].items() >= {"advertisement": 1, "near-duplicate": 1, "unreadable": 1}.items()
    seen = in_sight(made, teacher)
    assert traces(seen) == []
    whole = "".join(seen.values())
    assert [placeholder for placeholder in PLACEHOLDERS if placeholder not in whole] == []
    assert {f"masked_{kind}" for kind in MASKED} <= figures(rows("polish_qa")[0]).keys()
    assert "masked_id_number" in seen["README.md"]


@pytest.mark.parametrize("flags", [(), ("--expand", "--min-turns", "3")])
def test_nothing_of_a_patient_who_talks_comes_out_of_curate_dialogues(serve, flags):
    visits = [
        (
            f"患：孩子拉肚子三天了，{WHO}",
            "医：一天拉几次？",
            f"患：五六次，{WHERE}",
            f"医：{NAME}您好，口服蒙脱石散，一次半袋，一天三次，不好再去{HOSPITAL}",
        ),
        (f"患：你好，我叫{NAME}", f"医：加我微信{CHAT}，电话{PHONE}"),
        (f"患：看看图片，孩子长疹子，{WHERE}", "医：从图片上看是湿疹", f"患：{WHO}", "医：外用炉甘石"),
    ]
    teacher = rehearsing(serve)
    made = build("curate_dialogues", cmdd("visits", visits), *teacher.flags, *flags)
    assert (made.code, made.said["rows"], made.accounted) == (0, 1, 3), made.talk
    seen = in_sight(made, teacher)
    assert traces(seen) == []
    assert [placeholder for placeholder in PLACEHOLDERS if placeholder not in "".join(seen.values())] == []


CASE = {
    "id": "1809",
    "department": "消化内科",
    "complaint": f"胃疼，{NAME}，{PHONE}",
    "facts": [
        {"name": "主诉", "value": f"中上腹隐痛1年，加重3天，{WHERE}"},
        {"name": "联系", "value": WHO},
        {"name": "胃镜", "value": f"{HOSPITAL}胃镜示溃疡", "seen_by": ["doctor", "judge"]},
    ],
    "diagnosis": f"十二指肠球部溃疡（{HOSPITAL}，病历号：{RECORD}）",
    "advice": f"口服奥美拉唑，{DATE}复查，加微信{CHAT}",
}


def simulated(serve, *lines, keep="--keep-flawed"):
    Path("cases.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    teacher = rehearsing(serve)
    return build("simulate_dialogues", "--cases", "cases.jsonl", *teacher.flags, keep, "--min-questions", 0), teacher


def test_nothing_of_a_case_comes_out_of_simulate_dialogues(serve):
    hidden = {**CASE, "id": "1810", "complaint": "", "facts": [{"name": "主诉", "value": WHO, "seen_by": ["judge"]}]}
    made, teacher = simulated(serve, CASE, hidden)
    assert made.code == 0, made.talk
    assert made.said["rejected"] == {"nothing for the patient to tell": 1}
    seen = in_sight(made, teacher)
    assert "[姓名1]" in seen["request 0"]
    assert traces(seen) == []


def test_nothing_of_a_consultation_comes_out_of_simulate_dialogues(serve):
    asked = f"胃疼反酸半年，吃完饭加重，今年四十五岁。{WHO}，{WHERE}，胃镜说有糜烂，幽门螺杆菌阳性。"
    source = toyhom(
        "answers.csv", [(asked, f"{NAME}您好，考虑糜烂性胃炎，口服奥美拉唑20mg一日两次，四周后到{HOSPITAL}复查。")]
    )
    teacher = rehearsing(serve)
    made = build("simulate_dialogues", "--cases", source, *teacher.flags, "--keep-flawed", "--min-questions", 0)
    assert (made.code, made.said["rows"]) == (0, 1), made.talk
    assert traces(in_sight(made, teacher)) == []


@pytest.mark.parametrize(
    ("name", "row", "columns"),
    [
        ("department", {"dept": f"{HOSPITAL}消化科", "q": STOMACH[0], "a": STOMACH[1]}, "question=q,answer=a,department=dept"),
        ("doctor", {"dr": NAME, "q": STOMACH[0], "a": f"我是{NAME}，{STOMACH[1]}"}, "question=q,answer=a,doctor=dr"),
        ("hospital", {"h": HOSPITAL, "q": STOMACH[0], "a": f"来{HOSPITAL}吧，{STOMACH[1]}"}, "question=q,answer=a,hospital=h"),
        ("diagnosis", {"d": WHERE, "q": STOMACH[0], "a": STOMACH[1]}, "question=q,answer=a,diagnosis=d"),
        ("no speaker", {"talk": f"{WHO}\n医生：您好"}, "dialogue=talk"),
        ("stranger", {"talk": [{"role": NAME, "content": STOMACH[0]}]}, "dialogue=talk"),
        ("no text", {"q": [{"text": WHO}], "a": STOMACH[1]}, "question=q,answer=a"),
    ],
)  # fmt: skip
def test_no_corner_of_a_row_lets_her_through(serve, name, row, columns):
    Path("own.jsonl").write_text(
        json.dumps(row, ensure_ascii=False) + "\n" + json.dumps(plain(row), ensure_ascii=False)
    )
    teacher = Teacher(serve, politely)
    made = build("polish_qa", "own.jsonl", "--columns", columns, *teacher.flags)
    assert made.accounted == 2, made.talk
    assert traces(in_sight(made, teacher)) == []


def plain(row):
    """A row of the same columns that is sound and says nothing private, so that there is always one."""
    if "talk" not in row:
        return {field: {"q": PRESSURE[0], "a": PRESSURE[1]}.get(field, "内科") for field in row}
    return {"talk": f"患者：{PRESSURE[0]}\n医生：{PRESSURE[1]}"}


# ------------------------------------------------------------------ what a model makes up


INVENTED = [
    ("您可以加微信wangys_88详谈。", "chat"),
    ("我是王建国医生。", "name"),
    ("请到北京协和医院复查。", "hospital"),
]


@pytest.mark.parametrize(("more", "kind"), INVENTED)
def test_a_polished_answer_with_something_private_in_it_is_rejected(serve, more, kind):
    teacher = Teacher(serve, lambda asked: asked.data["answer"] + (more if asked.data["answer"] == STOMACH[1] else ""))
    made = build("polish_qa", toyhom("answers.csv", [PRESSURE, STOMACH]), *teacher.flags)
    assert made.said["rejected"] == {"private in the answer": 1}
    assert rejected()[0]["detail"].startswith(f"{kind} in …")


def test_a_phone_number_that_the_model_makes_up_never_stands_in_a_row(serve):
    teacher = Teacher(serve, lambda asked: f"{asked.data['answer']}有疑问请致电13812345678。")
    made = build("polish_qa", toyhom("answers.csv", [PRESSURE]), *teacher.flags)
    assert (made.code, made.said["rows"]) == (3, 0)


@pytest.mark.parametrize("more", ["有疑问请致电13812345678。", *(more for more, _ in INVENTED)])
def test_a_distilled_answer_with_something_private_in_it_is_rejected(serve, more):
    teacher = Teacher(serve, lambda asked: politely(asked) + (more if asked.prompt == "distill_answer" else ""))
    made = build("polish_qa", toyhom("answers.csv", [PRESSURE]), *teacher.flags, "--mode", "distilled")
    assert made.said["rejected"] == {"private in the answer": 1}


@pytest.mark.parametrize("more", [more for more, _ in INVENTED])
def test_a_reworded_turn_with_something_private_in_it_is_rejected(serve, more):
    def say(asked):
        made = politely(asked)
        made["turns"][-1]["text"] += more
        return made

    visit = ("患：孩子拉肚子三天了，一天五六次", "医：有没有呕吐？", "患：没有", "医：口服蒙脱石散，一次半袋，一天三次")
    made = build("curate_dialogues", cmdd("visits", [visit]), *Teacher(serve, say).flags)
    assert made.said["rejected"] == {"private in the answer": 1}


def test_what_stays_on_this_machine_can_be_read_by_its_owner_alone(serve):
    build("polish_qa", toyhom("answers.csv", [(WHO + PRESSURE[0], PRESSURE[1])]), *Teacher(serve, politely).flags)
    hers = [path for path in Path(".suwen").rglob("*") if path.is_file() and path.stat().st_size]
    assert any(path.suffix == ".parquet" for path in hers)
    assert [str(path) for path in hers if not any(closed(part) for part in (path, *path.parents[:-1]))] == []


def closed(path):
    """Whether nobody but its owner gets at a file, or at what is below a folder."""
    return path.stat().st_mode & 0o077 == 0
