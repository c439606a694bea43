"""The rehearsal teacher's words: invented medical instructions and answers.

A rehearsal runs the whole pipeline with no key and no network.  Its teacher
must therefore write material varied enough to pass the same filters as a real
model's, and must write the same thing every time.  Everything here is a pure
function of its arguments; the words live in ``clinic.toml`` and ``frames.toml``.
"""

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DEFAULT_DEPARTMENT = "default"
DEFAULT_ROLE = "none"
BARE_SHARE = 0.4
"""Share of the items whose input is empty."""
LONGEST = 70
"""Most characters an instruction may have."""
ANSWER_RANGE = (150, 362)
"""Range an answer's length is drawn from when the caller names none."""
SLOT = re.compile(r"\{(\w+)\}")
LAY_MARKS = re.compile(r"我|您好|咱|吗？|呢？|大夫|挂哪|啥|要不要紧")
LEADS = re.compile(r"请|讲|先|别|给|麻烦|不要|把")
"""How a lay closing requirement begins that may also stand in front."""
ACUTE = re.compile(
    "急性|外伤|骨折|扭伤|休克|中毒|热射病|昏迷|咬伤|妊娠|流产|出血|感冒|胎膜|梗阻|烧烫伤|早产"
    "|惊厥|手足口|突发|睑腺炎|带状疱疹|肺炎|肠炎|脓肿|冠周炎|面神经炎|心肌炎|结石|梗死"
    "|肺栓塞|淋病|龟头炎|附睾炎|产后|动脉瘤|胎盘|胎儿|咽峡炎|上呼吸道"
)
"""Diseases without a history of months: inputs that speak of one are not for them."""
ALIGNED = {"diseases": "disease", "symptoms": "symptom", "drugs": "drug", "tests": "test"}
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


class Task(NamedTuple):
    """One thing a role asks for; ``kind`` names the input it needs, if any."""

    say: str
    kind: str
    intent: str | None


class Role(NamedTuple):
    """What one asking role sounds like."""

    voice: str
    group: str
    test_like: str
    tests: tuple[str, ...]
    characters: tuple[str, ...]
    asks: tuple[Task, ...]
    readings: tuple[Task, ...]


class Department(NamedTuple):
    """One department's terms and the bounds of its invented patients."""

    name: str
    rows: tuple[dict[str, str], ...]
    habits: tuple[str, ...]
    sex: str
    ages: tuple[int, int]


class Frames(NamedTuple):
    """The shared building blocks, as read from ``frames.toml``."""

    roles: dict[str, Role]
    openings: dict[str, list[str]]
    demands: dict[str, list[str]]
    links: dict[str, dict[str, list[str]]]
    inputs: dict[str, dict[str, list[str]]]
    answers: dict[str, Any]


@cache
def _frames() -> Frames:
    """Read the sentence frames once for the process."""
    raw = tomllib.loads((HERE / "frames.toml").read_text(encoding="utf-8"))
    roles = {name: _role(table) for name, table in raw["roles"].items()}
    return Frames(roles, raw["openings"], raw["demands"], raw["links"], raw["inputs"], raw["answers"])


def _role(table: dict[str, Any]) -> Role:
    """Turn one role's table into a record."""
    return Role(
        table["voice"],
        table["group"],
        table.get("test_like", ""),
        tuple(table.get("tests", ())),
        tuple(table["characters"]),
        tuple(_task(entry) for entry in table["tasks"]),
        tuple(_task(entry) for entry in table["readings"]),
    )


def _task(entry: str | dict[str, str]) -> Task:
    """Read a task written either as a bare sentence or as a table."""
    if isinstance(entry, str):
        return Task(entry, "", None)
    return Task(entry["say"], entry.get("kind", ""), entry.get("intent"))


@cache
def _clinic() -> dict[str, Department]:
    """Read the departments' terms once for the process."""
    raw = tomllib.loads((HERE / "clinic.toml").read_text(encoding="utf-8"))
    return {name: _department(table) for name, table in raw["departments"].items()}


def _department(table: dict[str, Any]) -> Department:
    """Line up a department's terms so that one row holds terms that belong together."""
    columns = [table[plural] for plural in ALIGNED]
    rows = tuple(dict(zip(ALIGNED.values(), row, strict=True)) for row in zip(*columns, strict=True))
    low, high = table.get("ages", (18, 75))
    return Department(table["name"], rows, tuple(table["habits"]), table.get("sex", ""), (low, high))


@cache
def _lexicon() -> dict[str, list[tuple[str, str, str]]]:
    """Index every term by its first two characters, longest term first.

    A value is (term, kind, department); the index lets a text be scanned in
    one pass without trying a thousand terms at each position.
    """
    index: dict[str, set[tuple[str, str, str]]] = {}
    for name, department in _clinic().items():
        terms = [(term, kind) for row in department.rows for kind, term in row.items()]
        terms += [(habit, "habit") for habit in department.habits]
        terms.append((department.name, "dept"))
        for term, kind in terms:
            index.setdefault(term[:2], set()).add((term, kind, name))
    order = list(_clinic())
    return {
        head: sorted(entries, key=lambda e: (-len(e[0]), e[0], e[1], order.index(e[2])))
        for head, entries in index.items()
    }


def _found(text: str) -> list[tuple[str, str, str]]:
    """List the lexicon's terms in ``text``, in reading order, longest match first.

    A term several departments share is listed once for each of them.
    """
    lexicon, hits, at = _lexicon(), list[tuple[str, str, str]](), 0
    while at < len(text) - 1:
        step = 1
        for entry in lexicon.get(text[at : at + 2], ()):
            if len(entry[0]) < step:
                break
            if text.startswith(entry[0], at):
                hits.append(entry)
                step = len(entry[0])
        at += step
    return hits


def _department_of(hits: list[tuple[str, str, str]]) -> str:
    """Name the department that owns most of the distinct terms in ``hits``."""
    votes = dict.fromkeys(_clinic(), 0)
    for _, _, name in dict.fromkeys(hits):
        votes[name] += 1
    best = max(votes, key=lambda name: votes[name])
    return best if votes[best] else DEFAULT_DEPARTMENT


def department_of(text: str) -> str:
    """Tell which department a text is about, so that an answer stays within it.

    The id of the department most of whose terms occur in the text; the first
    in the lexicon's order on a tie; ``default`` when no term occurs.
    """
    return _department_of(_found(text))


def _rng(*parts: object) -> Random:
    """Make a local random source that is the same in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return Random(int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:16], "big"))


def _fill(template: str, slots: dict[str, str]) -> str:
    """Put the slot values into a template."""
    return SLOT.sub(lambda match: slots[match.group(1)], template)


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


def _row(rng: Random, department: Department, role: Role) -> dict[str, str]:
    """Draw terms that belong together; a role bound to some kinds of test gets one of them."""
    row = rng.choice(department.rows)
    if role.tests and not re.search(role.test_like, row["test"]):
        return {**row, "test": rng.choice(role.tests)}
    return row


def _slots(rng: Random, department: Department, role: str) -> dict[str, str]:
    """Draw one consistent set of slot values for an item."""
    first, second = rng.sample(department.habits, 2)
    row = _row(rng, department, _frames().roles[role])
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


def _compose(rng: Random, role: Role, say: str, link: str) -> str:
    """Join opening, task, pointer to the input and closing demand into an instruction."""
    frames = _frames()
    asks = say.endswith("？")
    opening = rng.choice(frames.openings[role.voice] + frames.openings[role.group])
    if asks and role.voice == "work":
        opening = re.sub(r"请您?$", "", opening)
    demand = rng.choice(frames.demands[role.voice] + frames.demands[role.group])
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


def _item(rng: Random, department: Department, role_id: str, task: Task, bare: bool) -> dict[str, str | None]:
    """Make one item: who asks, what for, on which input."""
    role, frames = _frames().roles[role_id], _frames()
    slots = _slots(rng, department, role_id)
    link = given = ""
    if not bare:
        kind = task.kind or _kind_for(rng, task.say, role)
        given = _fill(_template(rng, frames.inputs[role.voice][kind], slots["disease"]), slots)
        link = rng.choice(frames.links[role.voice][kind])
    return {
        "character": _character(rng, role, department, slots),
        "instruction": _compose(rng, role, _fill(task.say, slots), link),
        "input": given,
        "intent": task.intent,
    }


def _character(rng: Random, role: Role, department: Department, slots: dict[str, str]) -> str:
    """Name who asks; for a child it is a parent who speaks."""
    text = _fill(rng.choice(role.characters), slots)
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


def _deck(rng: Random, tasks: tuple[Task, ...], count: int) -> list[Task]:
    """Deal ``count`` tasks, each once before any comes again."""
    dealt: list[Task] = []
    while len(dealt) < count:
        dealt += rng.sample(tasks, len(tasks))
    return dealt[:count]


def triplets(*, department: str, role: str, count: int, seed: str) -> list[dict[str, str | None]]:
    """Write ``count`` items as a teacher would for one department and role.

    Each has ``character``, ``instruction``, ``input`` ("" for about two in
    five) and ``intent`` (None for work tasks).  An unknown department is taken
    as ``default`` and an unknown role as ``none``.
    """
    clinic, roles = _clinic(), _frames().roles
    place = department if department in clinic else DEFAULT_DEPARTMENT
    asker = role if role in roles else DEFAULT_ROLE
    rng = _rng("triplets", department, role, count, seed)
    bare = [rng.random() < BARE_SHARE for _ in range(count)]
    alone = _deck(rng, roles[asker].asks, count)
    reading = _deck(rng, roles[asker].readings, count)
    return [
        _item(rng, clinic[place], asker, read if not empty and rng.random() < 0.4 else task, empty)
        for empty, task, read in zip(bare, alone, reading, strict=True)
    ]


def _answer_slots(rng: Random, hits: list[tuple[str, str, str]]) -> tuple[dict[str, str], set[str]]:
    """Take the question's own terms as slot values; fill gaps from the matching row.

    Returns the values and the kinds of term the question itself named.
    """
    department = _clinic()[_department_of(hits)]
    named: dict[str, str] = {}
    for term, kind, _ in hits:
        named.setdefault(kind, term)
    row = max(
        rng.sample(department.rows, len(department.rows)),
        key=lambda row: sum(named.get(kind) == term for kind, term in row.items()),
    )
    first, second = rng.sample(department.habits, 2)
    slots = {**row, "habit": first, "habit2": second, "dept": department.name}
    slots.update({kind: term for kind, term in named.items() if kind != "dept"})
    if slots["habit"] == second:
        slots["habit2"] = first
    return slots, set(named)


class Question(NamedTuple):
    """What an answer knows of its question: the kinds of term it names, and the rules it sets off.

    ``wanted`` are the affinity rules whose question it is, ``open`` the
    reservations it lifts; both by their place in ``frames.toml``.
    """

    named: frozenset[str]
    wanted: frozenset[int]
    open: frozenset[int]


@cache
def _patterns(table: str, field: str) -> tuple[re.Pattern[str], ...]:
    """Compile one column of a table of rules; a slot's name in it is meant literally."""
    rules = _frames().answers[table]
    return tuple(re.compile(rule[field].replace("{", r"\{")) for rule in rules)


def _rules(table: str, field: str, text: str) -> frozenset[int]:
    """List the rules of one table that a text sets off, or a template falls under."""
    found = (pattern.search(text) for pattern in _patterns(table, field))
    return frozenset(place for place, match in enumerate(found) if match)


@cache
def _traits(template: str) -> tuple[frozenset[str], frozenset[int], frozenset[int]]:
    """Give a template's slots, the affinity rules and the reservations it falls under."""
    slots = frozenset(SLOT.findall(template)) - {"dept", "habit2"}
    return slots, _rules("affinity", "take", template), _rules("reserved", "take", template)


def _ranked(rng: Random, templates: list[str], question: Question) -> list[str]:
    """Shuffle templates, those that suit the question before the others."""
    mixed = rng.sample(templates, len(templates))
    return sorted(mixed, key=lambda text: _distance(text, question) + rng.random() * 1.5)


def _distance(template: str, question: Question) -> int:
    """Measure how far a template is from a question: foreign slots, and topics not asked for."""
    slots, suits, held = _traits(template)
    suited = not suits.isdisjoint(question.wanted)
    return len(slots - question.named) - 2 * suited + 3 * (not held <= question.open)


def _is_lay(instruction: str) -> bool:
    """Tell a layman's question from a colleague's task, to answer in the same tone."""
    demands = _frames().demands
    if any(demand in instruction for demand in demands["lay"]):
        return True
    if any(text in instruction for name, group in demands.items() if name != "lay" for text in group):
        return False
    return LAY_MARKS.search(instruction) is not None


def answer(*, instruction: str, input: str, seed: str, length: int | None = None) -> str:
    """Write a plausible answer that takes up the question's own medical terms.

    About ``length`` characters long, or 120 to 400 when none is given; an
    opening, an explanation, a list or a paragraph of points, and a closing.
    """
    rng = _rng("answer", instruction, input, seed, length)
    slots, named = _answer_slots(rng, _found(instruction + "。" + input))
    question = Question(
        frozenset(named),
        _rules("affinity", "ask", instruction),
        _rules("reserved", "ask", instruction),
    )
    blocks, lay = _frames().answers, _is_lay(instruction)
    voice = "lay" if lay else "work"

    def told(templates: list[str]) -> list[str]:
        """Fill the templates in the order that suits this question."""
        return [_fill(text, slots) for text in _ranked(rng, templates, question)]

    opening = told(blocks["openings"][voice])[0]
    caution = told(blocks["cautions"] + ([] if lay else blocks["cautions_work"]))[0]
    closing = told(blocks["closings"][voice])[0]
    points = told(blocks["advice" if lay else "plans"])
    goal = length if length is not None else rng.randint(*ANSWER_RANGE)
    return _assemble(rng, goal, (opening, caution, closing), told(blocks["explanations"]), points)


def _assemble(rng: Random, goal: int, frame: tuple[str, str, str], reasons: list[str], points: list[str]) -> str:
    """Lay the parts out in paragraphs, taking as many reasons and points as the length allows."""
    opening, caution, closing = frame
    if goal < 120:
        return opening + "".join(_within(reasons, goal - len(opening) - 8, 1))
    room = goal - len(opening) - len(caution) - len(closing)
    share = rng.uniform(0.35, 0.6)
    told = _within(reasons, room * share, 1)
    listed = _within(points, room - sum(map(len, told)), 2 if goal >= 150 else 1)
    body = _listing(rng, listed)
    tail = [caution, closing] if rng.random() < 0.7 else [closing]
    if rng.random() < 0.3:
        return "\n\n".join([opening, body, "".join(told), *tail[:-1], tail[-1]])
    return "\n\n".join([opening + "".join(told), body, "".join(tail)])


def _within(sentences: list[str], room: float, least: int) -> list[str]:
    """Take sentences from the front until ``room`` characters are about full."""
    taken, used = list[str](), 0.0
    for sentence in sentences:
        if len(taken) >= least and used + len(sentence) / 2 > room:
            break
        taken.append(sentence)
        used += len(sentence) + 3
    return taken


def _listing(rng: Random, points: list[str]) -> str:
    """Write points as a numbered list, a dashed list or one flowing paragraph."""
    style = rng.random()
    if style < 0.55:
        return "\n".join(f"{number}. {point}。" for number, point in enumerate(points, 1))
    if style < 0.75:
        return "\n".join(f"- {point}；" for point in points[:-1]) + f"\n- {points[-1]}。"
    return "；".join(points) + "。"
