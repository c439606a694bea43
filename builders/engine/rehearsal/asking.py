"""The tasks that the rehearsal teacher invents: who asks, for what, on which material.

    {"character": "第一次看皮肤科的自由职业者", "instruction": "…", "input": "", "intent": "efficacy"}

Varied enough to pass the same filters as a real model's, and the same every time for the same arguments.
"""

import re
from random import Random

from builders.engine.rehearsal.lexicon import (
    DEFAULT_DEPARTMENT,
    Department,
    Role,
    Task,
    clinic,
    fill,
    frames,
    random_from,
)

DEFAULT_ROLE = "none"
"""Speaks for a role that has no frames of its own."""
BARE_SHARE = 0.4
"""Share of the items whose input is empty."""
LONGEST = 70
"""Most characters an instruction may have."""
LEADS = re.compile(r"请|讲|先|别|给|麻烦|不要|把")
"""How a lay closing requirement begins that may also stand in front."""
ACUTE = re.compile(
    "急性|外伤|骨折|扭伤|休克|中毒|热射病|昏迷|咬伤|妊娠|流产|出血|感冒|胎膜|梗阻|烧烫伤|早产"
    "|惊厥|手足口|突发|睑腺炎|带状疱疹|肺炎|肠炎|脓肿|冠周炎|面神经炎|心肌炎|结石|梗死"
    "|肺栓塞|淋病|龟头炎|附睾炎|产后|动脉瘤|胎盘|胎儿|咽峡炎|上呼吸道"
)
"""Diseases without a history of months: inputs that speak of one are not for them."""
KIN = (
    ("我妈", "女", 48, 78),
    ("我爸", "男", 48, 80),
    ("我爱人", "女", 26, 55),
    ("我老公", "男", 26, 55),
    ("我姐姐", "女", 24, 45),
    ("我弟弟", "男", 20, 40),
    ("我奶奶", "女", 66, 82),
    ("我岳父", "男", 52, 80),
)
"""Whom a relative asks for: how they are called, their sex, the youngest and the oldest they can be."""


def triplets(*, department: str, role: str, count: int, seed: str) -> list[dict[str, str | None]]:
    """Write `count` items as a teacher would for one department and role.

    Each has `character`, `instruction`, `input` ("" for about two in five) and `intent` (None for work tasks). An
    unknown department is taken as `default` and an unknown role as `none`.
    """
    departments, roles = clinic(), frames().roles
    place = department if department in departments else DEFAULT_DEPARTMENT
    asker = role if role in roles else DEFAULT_ROLE
    rng = random_from("triplets", department, role, count, seed)
    bare = [rng.random() < BARE_SHARE for _ in range(count)]
    alone = _deck(rng, roles[asker].asks, count)
    reading = _deck(rng, roles[asker].readings, count)
    return [
        _item(rng, departments[place], asker, read if not empty and rng.random() < 0.4 else task, empty)
        for empty, task, read in zip(bare, alone, reading, strict=True)
    ]


def _deck(rng: Random, tasks: tuple[Task, ...], count: int) -> list[Task]:
    """Deal `count` tasks, each once before any comes again."""
    dealt: list[Task] = []
    while len(dealt) < count:
        dealt += rng.sample(tasks, len(tasks))
    return dealt[:count]


def _item(rng: Random, department: Department, role_id: str, task: Task, bare: bool) -> dict[str, str | None]:
    """Make one item: who asks, what for, on which input."""
    parts, role = frames(), frames().roles[role_id]
    slots = _slots(rng, department, role_id)
    link = given = ""
    if not bare:
        kind = task.kind or _kind_for(rng, task.say, role)
        given = fill(_template(rng, parts.inputs[role.voice][kind], slots["disease"]), slots)
        link = rng.choice(parts.links[role.voice][kind])
    return {
        "character": _character(rng, role, department, slots),
        "instruction": _compose(rng, role, fill(task.say, slots), link),
        "input": given,
        "intent": task.intent,
    }


def _compose(rng: Random, role: Role, say: str, link: str) -> str:
    """Join opening, task, pointer to the input and closing demand into an instruction."""
    parts, asks = frames(), say.endswith("？")
    opening = rng.choice(parts.openings[role.voice] + parts.openings[role.group])
    if asks and role.voice == "work":
        opening = re.sub(r"请您?$", "", opening)
    demand = rng.choice(parts.demands[role.voice] + parts.demands[role.group])
    core = say if asks else say + "，"
    leads = role.voice == "work" or LEADS.match(demand) is not None
    shape = rng.random() * (1 if leads else 0.7)
    if link and shape < 0.5:
        text = f"{opening}{core}{link}，{demand}。"
    elif link and shape < 0.75:
        text = f"{link}，{_bare(opening)}{core}{demand}。"
    elif link:
        text = f"{demand}：{say}{'' if asks else '，'}{link}。"
    elif shape < 0.72:
        text = f"{opening}{core}{demand}。"
    else:
        opening = re.sub(r"请您?$", "", opening)
        text = f"{opening}{demand}：{say}{'' if asks else '。'}"
    return text if len(text) <= LONGEST else f"{core}{demand}。"


def _bare(opening: str) -> str:
    """Keep of an opening only what may follow another clause: a plain 请, or nothing."""
    return "请" if opening.endswith("请") else ""


def _character(rng: Random, role: Role, department: Department, slots: dict[str, str]) -> str:
    """Name who asks; for a child it is a parent who speaks."""
    text = fill(rng.choice(role.characters), slots)
    return text.replace("患者", "患儿家长") if role.voice == "lay" and department.ages[1] <= 18 else text


def _template(rng: Random, templates: list[str], disease: str) -> str:
    """Choose an input's template, keeping long or family histories from acute diseases."""
    acute = ACUTE.search(disease) is not None
    fit = [text for text in templates if not (acute and ("{months}" in text or "家" in text))]
    return rng.choice(fit or templates)


def _kind_for(rng: Random, say: str, role: Role) -> str:
    """Choose an input that suits a task which names none."""
    if role.voice == "work" and role.group != "clinical":
        return rng.choice(("paragraph", "paragraph", "history"))
    if "{test}" in say:
        return rng.choice(("report", "report", "history"))
    if "{drug}" in say:
        return rng.choice(("drugs", "drugs", "history"))
    return rng.choice(("history", "history", "history", "report" if role.voice == "work" else "message"))


def _slots(rng: Random, department: Department, role: str) -> dict[str, str]:
    """Draw one consistent set of slot values for an item."""
    first, second = rng.sample(department.habits, 2)
    row = _row(rng, department, frames().roles[role])
    return {
        **row,
        **_vitals(rng, department, row["symptom"]),
        **_patient(rng, department, role),
        "dept": department.name,
        "habit": first,
        "habit2": second,
        "days": str(rng.randint(2, 6 if ACUTE.search(row["disease"]) else 19)),
        "months": str(rng.randint(2, 11)),
        "value": str(rng.randint(11, 96)),
        "wbc": f"{rng.uniform(3.6, 12.8):.1f}",
        "hb": str(rng.randint(104, 156)),
        "plt": str(rng.randint(125, 318)),
    }


def _row(rng: Random, department: Department, role: Role) -> dict[str, str]:
    """Draw terms that belong together; a role bound to some kinds of test gets one of them."""
    row = rng.choice(department.rows)
    if role.tests and not re.search(role.test_like, row["test"]):
        return {**row, "test": rng.choice(role.tests)}
    return row


def _vitals(rng: Random, department: Department, symptom: str) -> dict[str, str]:
    """Draw pulse, pressure and temperature that suit the age and the complaint."""
    child = department.ages[1] <= 18
    low, high = (38.0, 39.2) if "热" in symptom and "低热" not in symptom else (36.2, 37.2)
    return {
        "sbp": str(rng.randint(88, 112) if child else rng.randint(106, 148)),
        "dbp": str(rng.randint(54, 70) if child else rng.randint(64, 92)),
        "pulse": str(rng.randint(84, 118) if child else rng.randint(64, 104)),
        "temp": f"{rng.uniform(low, high):.1f}",
    }


def _patient(rng: Random, department: Department, role: str) -> dict[str, str]:
    """Invent who the item is about: how they are called, their sex and age."""
    low, high = department.ages
    sex = department.sex or rng.choice("男女")
    if high <= 18:
        called = {"男": ("我儿子", "孩子"), "女": ("我女儿", "孩子")}[sex]
        who = rng.choice(called) if role == "relative" else "孩子"
    elif role != "relative":
        who = "我"
    else:
        able = [kin for kin in KIN if _is_kin(department, kin)]
        who, sex, youngest, oldest = rng.choice(able)
        low, high = max(low, youngest), min(high, oldest)
    age = str(rng.randint(low, high))
    return {"who": who, "ta": "他" if sex == "男" else "她", "sex": sex, "age": age}


def _is_kin(department: Department, kin: tuple[str, str, int, int]) -> bool:
    """Tell whether a relative of that sex and age could be a department's patient."""
    low, high = department.ages
    return department.sex in ("", kin[1]) and kin[2] <= high - 3 and kin[3] >= low + 3
