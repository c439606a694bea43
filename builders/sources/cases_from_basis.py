"""The reasons of a diagnosis, as a doctor lists them, told apart: what the patient can tell, and what only a chart holds.

    1. 主诉: 中上腹隐痛1年，加重3天        →  主诉   patient, judge
    2. 反复咳嗽，查体双肺可闻及啰音。      →  病史   patient, judge: 反复咳嗽        查体   doctor, judge: 查体双肺…

A sentence belongs to the patient up to the first word that only an examination, a test or a conclusion brings.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.case import Fact, Sees

PATIENT: tuple[Sees, ...] = ("patient", "judge")
CHART: tuple[Sees, ...] = ("doctor", "judge")
NUMBERED = re.compile(r"^\s*(?:[（(]?\d{1,2}[.、)）．]\s*)?", re.MULTILINE)
LABEL = re.compile(r"([^：:，。；]{1,16})[：:]\s*(.+)", re.DOTALL)
TOLD = re.compile(r"主诉|现病史|既往史|既往|病史|个人史|家族史|婚育史|月经史|过敏史|症状|病程|起病|诱因")
EXAMINED = re.compile(
    r"查体|体查|(?<!因)体检|体征|听诊|触诊|叩诊|触及|扪及|闻及|压痛|反跳痛|叩击痛|肌力|肌张力|病理征|啰音|罗音|呼吸音|杂音|心率|心律齐|语颤|浊音"
    r"|肠鸣音|检查|化验|检验|实验室|常规|生化|血气|造影|胸片|平片|摄片|[BX](?:超|线|光)|彩超|超声|心电图|脑电图|肌电图|核磁|磁共振"
    r"|(?:胃|肠|喉|支气管|纤支|膀胱|宫腔|阴道|内|关节)镜|镜检|镜下|活检|病理|穿刺|培养|抗体|抗原|阳性|阴性|细胞|血红蛋白|血小板|转氨酶"
    r"|(?<!高)(?:血糖|血脂|尿酸)|胆红素|肌酐|激酶|隐血|影像|信号|密度影|mmol|/u?L(?![a-z])|mmHg|(?<![A-Za-z])(?:CT|MRI?|DR|ECG|HCG|HPV|BNP|SPO2)(?![A-Za-z])"
    r"|二聚体|提示|显示|示[：:]|所示|可见"
)
CONCLUDED = re.compile(r"考虑|符合|支持|可诊断|诊断(?:明确|成立|依据|为)|判断|鉴别|排除|结合")
DEMOGRAPHIC = re.compile(
    r"(?:患者|患儿)?(?:系|为)?(?:\d+岁)?(?:青|中|老|壮|少|幼|学龄|婴|年轻)*[年儿]*(?:男|女)?[性童]?(?:患者|患儿)?"
    r"|.{0,4}(?:急|慢|缓慢|隐匿|亚急)性?(?:起病|病程)|(?:起病|病程).{0,2}[急慢]性?"
)
SENTENCE = re.compile(r"[^。；;\n]+[。；;]?")
BRIEF = 40
"""Characters of a complaint; the patient opens with it."""


class _Told(NamedTuple):
    name: str
    value: str
    sees: tuple[Sees, ...]


def facts(basis: str) -> Iterator[Fact]:
    """The facts of a basis, in order, each under a name of its own."""
    seen: Counter[str] = Counter()
    for line in NUMBERED.split(basis):
        for told in _of_line(line.strip()):
            seen[told.name] += 1
            number = seen[told.name]
            yield Fact(name=told.name if number == 1 else f"{told.name}{number}", value=told.value, seen_by=told.sees)


def in_brief(known: Sequence[Fact]) -> str:
    """What the patient comes with, in a few words: of the 主诉, or of the first thing a patient can tell of an illness."""
    told = [fact for fact in known if "patient" in fact.seen_by]
    told.sort(key=lambda fact: not fact.name.startswith("主诉"))
    for fact in told:
        clauses = [clause.strip() for clause in re.split(r"[，,。；;]", fact.value)]
        if telling := [clause for clause in clauses if not DEMOGRAPHIC.fullmatch(clause)]:
            return _first(telling)
    return ""


def _first(clauses: Sequence[str]) -> str:
    brief = clauses[0]
    for clause in clauses[1:]:
        if len(brief) + len(clause) >= BRIEF:
            break
        brief = f"{brief}，{clause}"
    return re.sub(r"^(?:患者|患儿|主诉|以)+|为主诉(?=入院|，|$)|入院$", "", brief)


def _of_line(line: str) -> Iterator[_Told]:
    """The facts of one numbered reason; a label that names a disease is a conclusion, and is left out."""
    if not line:
        return
    label = LABEL.fullmatch(line)
    if label and (EXAMINED.search(label[1]) or label[1] == "体温"):
        yield _Told(label[1].strip(), label[2].strip(), CHART)
        return
    told = label and TOLD.search(label[1])
    name = label[1].strip() if label and told else "病史"
    value = label[2] if label else line
    for sentence in SENTENCE.findall(value):
        yield from _of_sentence(sentence.strip(), name)


def _of_sentence(sentence: str, name: str) -> Iterator[_Told]:
    found = [mark for mark in (EXAMINED.search(sentence), CONCLUDED.search(sentence)) if mark]
    if not found:
        yield from _kept(name, sentence, PATIENT)
        return
    first = min(found, key=lambda mark: mark.start())
    cut = max((at + 1 for at, char in enumerate(sentence[: first.start()]) if char in "，,"), default=0)
    yield from _kept(name, sentence[:cut], PATIENT)
    yield from _kept("检查" if first.re is EXAMINED else "判断", sentence[cut:], CHART)


def _kept(name: str, value: str, sees: tuple[Sees, ...]) -> Iterator[_Told]:
    value = value.strip(" ，,。；;")
    if re.search(r"\w", value):
        yield _Told(name, value, sees)
