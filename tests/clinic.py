"""A clinic to try builders on: answers and consultations as sites publish them, a teacher who says what a test wants."""

import contextlib
import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import polars
import pytest
from aiohttp import web
from answers import completion
from conftest import ROOT

from builders.prompts import FOLDER, prompt
from schemas.settings import run_command

TABLE = {
    "polish_qa": "polished_qa",
    "curate_dialogues": "real_dialogues",
    "simulate_dialogues": "simulated_dialogues",
}
SETTINGS = {"polish_qa": "PolishQA", "curate_dialogues": "CurateDialogues", "simulate_dialogues": "SimulateDialogues"}
LEDGER = ".suwen/ledger.sqlite"
PROMPTS = {prompt(file.stem).text: file.stem for file in FOLDER.glob("*.txt")}

PRESSURE = (
    "我爸今年六十三岁，血压160/95，吃什么药比较好？",
    "您父亲属于2级高血压。建议口服氨氯地平片，每次5mg，每日1次。\n不要吃得太咸，戒烟戒酒，两周后复查血压。",
)
STOMACH = (
    "饭后上腹部胀痛反酸三个月了，胃镜说是糜烂性胃炎，怎么治？",
    "考虑糜烂性胃炎，口服奥美拉唑肠溶胶囊20mg，一日两次，餐前半小时服用，疗程四周。忌辛辣和浓茶。",
)
ANAEMIA = (
    "体检血红蛋白只有90g/L，医生说是缺铁，平时要注意什么？",
    "这是缺铁性贫血，多吃红肉和动物肝脏，口服琥珀酸亚铁片，每次0.1g，一日三次，和维生素C同服。",
)
GOOD = (PRESSURE, STOMACH, ANAEMIA)
FLAWED = {
    "no answer": ("颈椎病头晕恶心应该挂什么科室看？", ""),
    "advertisement": (
        "我得牛皮癣十年了，到处看不好，能除根吗？",
        "牛皮癣是可以治愈的，我院采用祖传秘方治疗，无效退款，详情请点击头像在线咨询。",
    ),
    "answer cut": ("孩子水痘要注意哪些事情？", "水痘属于自限性的传染病，一般两周左右可以痊愈，护理上要注意以下几点："),
    "repetition inside the text": (
        "嗓子里总感觉有东西咽不下去也吐不出来",
        "这种情况多见于慢性咽炎，平时多喝温水。这种情况多见于慢性咽炎，平时多喝温水。",
    ),
    "only sends to hospital": ("右边肋骨下面隐隐作痛好几天了", "您好，建议您到正规医院消化内科就诊检查。祝您健康。"),
    "near-duplicate": (PRESSURE[0], PRESSURE[1].replace("戒烟戒酒", "戒烟限酒")),
}
"""A reason to reject, and a question with an answer that has it."""

FEVER = (
    "患：宝宝八个月，发烧38.5℃，一天了",
    "患：还有点咳嗽",
    "医：您好",
    "医：有没有流鼻涕？精神怎么样？",
    "患：没有流鼻涕",
    "患：精神还好",
    "医：可以口服布洛芬混悬液，每次2.5ml，一日三次",
    "医：体温38.5℃以下不要吃退烧药",
    "患：好的，谢谢医生",
    "医：不客气，祝宝宝早日康复",
    "患：再见",
)
LOOSE = (
    "医：您好，请问孩子多大了？",
    "患：十一个月，一直拉肚子，两天了",
    "医：一天拉几次？有没有呕吐？",
    "患：一天五六次，不吐",
    "医：考虑消化不良，口服蒙脱石散，一次半袋，一天三次",
    "患：需要化验大便吗",
    "医：需要的，查一个大便常规，先排除细菌感染",
)


def toyhom(name: str, pairs: Sequence[tuple[str, str]], *, tail: str = "", title: str = "") -> str:
    """A CSV in GB18030 like Toyhom's, quoted where a field has a line break; `tail` is written below it as it is."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["department", "title", "ask", "answer"])
    rows.writerows(["内科", title, *pair] for pair in pairs)
    Path(name).write_bytes((text.getvalue() + tail).encode("gb18030"))
    return name


def many(count: int) -> list[tuple[str, str]]:
    """Questions with answers, all different, in the same order every time."""
    complaints = ("头痛", "胃痛", "咳嗽", "腹泻", "失眠", "心慌", "关节痛", "皮肤瘙痒")
    drugs = ("布洛芬", "奥美拉唑", "氨溴索", "蒙脱石散", "艾司唑仑", "美托洛尔", "塞来昔布")
    advice = ("少吃油腻，按时作息", "多喝温水，不要熬夜", "三天后不见好转请复查血常规", "不能饮酒，饭后服用")
    return [
        (
            f"我{20 + n}岁，{complaints[n % 8]}反复发作{n + 2}天，晚上更明显，需要用什么药？",
            f"{complaints[n % 8]}可以先服{drugs[n % 7]}，每次{n + 1}mg，一天{n % 3 + 1}次，连用{n % 5 + 3}天，{advice[n % 4]}。",
        )
        for n in range(count)
    ]


def cmdd(folder: str, consultations: Sequence[Sequence[str]]) -> str:
    """One JSON file a consultation, like CMDD's: bubbles as 患：… and 医：…."""
    sides = {"患": "患者", "医": "医生"}
    Path(folder).mkdir(exist_ok=True)
    for number, bubbles in enumerate(consultations, 1):
        said = [
            {"speaker": sides[bubble[0]], "sentence": text, "label": "O" * len(text), "normalized": [], "type": []}
            for bubble, text in ((bubble, bubble[2:]) for bubble in bubbles)
        ]
        row = {"data-split": "dev", "example-id": f"1027{number:04d}", "dialogue-content": said}
        Path(folder, f"{number:03d}.json").write_text(json.dumps(row, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


class Built(NamedTuple):
    """What a builder left behind: exit code, its talk, what it printed, and the JSON object on the last line of that."""

    code: int
    talk: str
    out: str

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.out.splitlines()[-1]))

    @property
    def accounted(self) -> int:
        """Rows that are in the set or under `rejected`, by the command's own count."""
        return int(self.said["rows"] + sum(self.said["rejected"].values()))


def build(command: str, *arguments: object) -> Built:
    """A builder in this process, as a user would call it; writes to `set` unless told otherwise."""
    module = import_module(f"builders.{command}")
    words = [str(argument) for argument in arguments]
    out, talk = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(
            getattr(module, SETTINGS[command]), module.main, words if "--out" in words else [*words, "--out", "set"]
        )
    return Built(int(ended.value.code or 0), talk.getvalue(), out.getvalue())


@contextlib.contextmanager
def started(command: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A builder in a process of its own, ended when the test is."""
    child = subprocess.Popen(
        [sys.executable, "-m", f"builders.{command}", *map(str, arguments), "--out", "set"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()


def rows(command: str, folder: str = "set") -> list[dict[str, Any]]:
    """The rows of a release, in the order of their keys' places in the source."""
    table = polars.read_parquet(f"{folder}/{TABLE[command]}/*.parquet").to_dicts()
    return sorted(table, key=lambda row: (len(row["key"]), row["key"]))


def rejected(folder: str = "set") -> list[dict[str, Any]]:
    """What was thrown away, its seed as an object."""
    if not Path(folder, "rejected").exists():
        return []
    kept = polars.read_parquet(f"{folder}/rejected/*.parquet").to_dicts()
    return [{**one, "row": json.loads(one["row"])} for one in kept]


def figures(row: dict[str, Any]) -> dict[str, float]:
    """What was measured on a row."""
    return {figure["name"]: figure["value"] for figure in row["provenance"]["filters"]}


def paid_answers(ledger: str = LEDGER) -> str:
    """Everything the ledger holds, unpacked."""
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [cell for name in tables for row in db.execute(f"SELECT * FROM {name}") for cell in row]
    return "\n".join(map(_unpacked, cells))


def _unpacked(cell: Any) -> str:
    if not isinstance(cell, bytes):
        return str(cell)
    with contextlib.suppress(zlib.error):
        cell = zlib.decompress(cell)
    text = cell.decode("utf-8", "replace")
    return str(text.encode().decode("unicode_escape", "replace") + text) if "\\u" in text else text


class Asked(NamedTuple):
    """One request that the teacher got."""

    prompt: str
    """Name of the prompt that it is made from."""
    data: dict[str, Any]
    """What stood in its <data> block."""
    body: dict[str, Any]

    @property
    def block(self) -> str:
        """The message with the <data> block, as it was sent."""
        return str(self.body["messages"][1]["content"])


Answer = Callable[[Asked], Any]


class Teacher:
    """A model on loopback whose every answer comes from `answer(asked)`: a text, or an object that becomes JSON."""

    def __init__(self, serve: Callable[..., str], answer: Answer) -> None:
        self.heard: list[Asked] = []
        self._answer = answer
        self.url = f"{serve(self._say)}/v1"
        self.flags = ("--teacher", "m", "--base-url", self.url)

    async def _say(self, request: web.Request) -> web.Response:
        body = await request.json()
        block = body["messages"][1]["content"].partition("</data>")[0].removeprefix("<data>")
        asked = Asked(PROMPTS[body["messages"][0]["content"]], json.loads(block), body)
        self.heard.append(asked)
        said = self._answer(asked)
        return completion(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))

    def told(self, name: str) -> list[dict[str, Any]]:
        """The data of every request made from a prompt, in order."""
        return [asked.data for asked in self.heard if asked.prompt == name]


def politely(asked: Asked) -> Any:
    """A faithful rewriting of whatever is asked."""
    if asked.prompt == "polish_answer":
        return f"您好，{asked.data['answer']}"
    if asked.prompt == "rewrite_doctor":
        wanted = {one["n"] for one in asked.data.get("again", ())}
        said = [turn for turn in asked.data["dialogue"] if turn["speaker"] == "doctor"]
        return {
            "turns": [
                {"n": turn["n"], "text": f"您好，{turn['text']}"} for turn in said if not wanted or turn["n"] in wanted
            ]
        }
    return "这是一个常见的问题，通常先观察两三天，注意休息和饮食；若症状加重，请尽早就医检查。"


def curate(
    serve: Callable[..., str], visits: Sequence[Sequence[str]], answer: Answer = politely
) -> tuple[Built, Teacher]:
    """Consultations curated with this teacher; releases what there is."""
    teacher = Teacher(serve, answer)
    return build("curate_dialogues", cmdd("visits", visits), *teacher.flags, "--short"), teacher
