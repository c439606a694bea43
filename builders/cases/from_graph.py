"""Patients drawn from a knowledge graph: a disease, symptoms that go with it, and some that do not.

    {"id": "偏头痛/7", "department": "神经内科", "complaint": "犯恶心", "facts": [{"name": "主诉", "value": "恶心2个月"},
     {"name": "流泪", "value": "有"}, {"name": "腰痛", "value": "没有"}, …], "diagnosis": "偏头痛", …}

The graph gives disease, symptoms, department, checks and treatment; age, sex, duration and history are drawn from short
lists that fit the disease. No result of a check is invented: the doctor learns which checks are usual, not what they show.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from builders.sources.knowledge import Graph
from schemas.case import CaseFile, Fact

SYMPTOMS = ("症状", "临床表现", "临床症状", "临床症状及体征", "symptom", "has_symptom")
DEPARTMENTS = ("科室", "就诊科室", "所属科室", "cure_department", "belongs_to")
CHECKS = ("检查项目", "检查", "辅助检查", "影像学检查", "实验室检查", "check", "need_check")
TREATMENTS = ("治疗方法", "治疗", "治疗方案", "辅助治疗", "药物治疗", "cure_way", "common_drug")

FEWEST_SYMPTOMS = 3
MOST_ABSENT = 3
CHILD = re.compile(r"小儿|新生儿|婴|儿童|幼儿")
PAEDIATRIC = re.compile(r"儿")
NEWBORN = re.compile(r"新生儿|早产儿")
INFANT = re.compile(r"婴")
PREGNANT = re.compile(r"妊娠|孕|产后|产褥|分娩|流产|胎|产科|宫外")
WOMAN = re.compile(
    r"妇|子宫|宫颈|卵巢|阴道|外阴|月经|闭经|痛经|经期|白带|女性|盆腔炎|输卵管|乳腺|乳头|更年期|绝经|产科"
)
MAN = re.compile(r"前列腺|睾丸|阴茎|阴囊|精索|精囊|附睾|包皮|包茎|龟头|男|遗精|早泄|阳痿|精液|精子|勃起|血精|滑精")
OLD = re.compile(r"老年|绝经后|更年期|白内障|帕金森|阿尔茨海默|痴呆")
NOT_ONLINE = re.compile(
    r"休克|昏迷|骤停|猝死|死亡|脑死|窒息|脑疝|溺水|电击|触电|衰竭|移植|麻醉|胎儿|死胎|脑出血|大出血|心肌梗死|主动脉夹层|栓塞|破裂|复合伤|断离"
    r"|贯通伤|挤压|雷击|冻僵|核辐射|战伤|急救|植物人|多器官|术后|手术|透析|中毒|致死|临终|先天性|染色体|缺乏症|代谢病|畸形|综合征|综合症|症候群|癌|恶性|白血病|肿瘤|淋巴瘤|肉瘤|细胞瘤|转移|尿毒症|贮积|[ⅠⅡⅢⅣ]"
)
"""Emergencies and deaths, what only a ward or a laboratory finds, and names that nobody would end a first talk on."""
TELLS = re.compile(
    r"[痛疼痒咳热烧吐呕泻便尿晕麻酸胀痰喘涕汗渴饿困累闷慌悸鸣涩泪肿血疹泡痂屑]|乏力|无力|食欲|失眠|消瘦|恶心|鼻塞|脱发|嘶哑|嗳气|反酸|多梦|焦虑|抑郁|气短|模糊|口臭|打嗝|畏光|厌食|头昏|吞咽"
)
ONLY_FOUND = re.compile(
    r"症$|征$|病$|炎$|癌|瘤|细胞|血压|血糖|蛋白|杂音|啰音|反射|体征|心率|心律|衰竭|休克|昏迷|败血|毒血|积液|腹水|硬化|坏死|萎缩|钙化|增生|穿孔|梗|栓|缺损|畸形|肝大|脾|淋巴|粘连"
    r"|压痛|叩|紧张|综合|惊厥|意识|麻痹|出血倾向|内出血|充血|贫血|糖尿|血小板|颅内|神经|电解质|脱水|呼吸音|实变|扩张|狭窄|梗阻|无尿|血液|凝|便隐血|酸中毒|尿毒|血脂|血钙|血钾|视网膜|巩膜|角膜|结膜|虹膜|眼底|瞳孔|肝|血管|囊肿|肉芽|肿块|结节|消化道|高渗|变应|障碍|尿流|鼻腔中|\.\.|[a-zA-Z（(]"
)
"""What an examination finds and a patient cannot tell."""
SPOKEN = {
    "腹痛": "肚子疼",
    "恶心": "犯恶心",
    "乏力": "浑身没力气",
    "无力": "没力气",
    "呼吸困难": "喘不上气",
    "腹泻": "拉肚子",
    "高热": "发高烧",
    "低热": "有点发烧",
    "发热": "发烧",
    "发烧": "发烧",
    "皮肤瘙痒": "身上痒",
    "瘙痒": "痒得厉害",
    "水肿": "身上肿",
    "头痛头晕": "头疼头晕",
    "头痛": "头疼",
    "消瘦": "瘦了不少",
    "胸痛": "胸口疼",
    "胸闷": "胸口闷",
    "心悸": "心慌",
    "便秘": "大便干，解不出来",
    "食欲不振": "没胃口",
    "食欲减退": "吃不下饭",
    "吞咽障碍": "咽东西费劲",
    "血尿": "小便带血",
    "便血": "大便带血",
    "尿频": "老想小便",
    "尿急": "憋不住尿",
    "尿痛": "小便疼",
    "耳鸣": "耳朵嗡嗡响",
    "眩晕": "天旋地转地晕",
    "喉咙痛": "嗓子疼",
    "声音嘶哑": "嗓子哑了",
    "鼻塞": "鼻子不通气",
    "流泪": "老流眼泪",
    "盗汗": "晚上出汗",
    "失眠": "睡不着",
    "咳嗽": "咳嗽",
    "干咳": "干咳",
    "呕吐": "吐了",
    "上腹痛": "胃这块疼",
    "上腹不适": "胃不舒服",
    "腰痛": "腰疼",
    "关节痛": "关节疼",
    "肌肉疼痛": "肌肉疼",
    "脱发": "掉头发",
    "气短": "气不够用",
    "丘疹": "长小疙瘩",
    "斑丘疹": "起红疙瘩",
    "皮肤斑丘疹": "身上起红疙瘩",
    "鳞屑": "皮肤掉皮屑",
    "疱疹": "起水泡",
    "脓疱": "起脓包",
    "风团": "起风团，一片一片的",
    "剧烈疼痛": "疼得厉害",
    "白带增多": "白带多",
    "阴道流血过多": "下面出血多",
    "口腔溃疡": "嘴里长溃疡",
    "齿龈出血": "牙龈出血",
    "视野缺损": "看东西缺一块",
}
ALIKE = str.maketrans("疼烧呕稀眩燥困鲜", "痛热吐泻晕干乏血")
COMMON = set("部性不的及与感或者有无常发大小多少增加减轻重样急慢全身体下上")
"""Characters that say nothing about whether two symptoms are alike."""
VAGUE = re.compile(r"^(?:药物|支持性|手术|对症|内科|外科|中医|西医|一般|其他)$|[a-zA-Z]{5,}|、$|[（(]$")
GENERAL = ("其他科室", "其他综合", "内科", "外科", "五官科", "中医综合", "中医科", "儿科综合", "急诊科")
"""Departments named only when there is no other."""

PAST = (
    ("平时身体健康，没有慢性病", "慢性|高血压|糖尿"),
    ("没有得过大病，也没有做过手术", "复发|残"),
    ("十年前做过阑尾切除手术", "阑尾|粘连|肠"),
    ("有高血压，一直规律吃药", "血压|心|肾|脑"),
    ("有2型糖尿病，平时控制饮食", "糖|尿|胰|足|渴"),
)
"""What a grown patient may tell of earlier years, and the diseases and symptoms it would not go with."""
PAST_OF_CHILDREN = ("足月出生，平时身体好", "平时身体健康，按时打预防针", "以前没有住过院", "一到换季就容易感冒")
ALLERGIES = ("没有药物过敏", "没有药物和食物过敏", "对青霉素过敏", "对头孢过敏", "对磺胺类药过敏", "对海鲜过敏")
SHORT = ("半天", "1天", "2天", "3天", "5天")
USUAL = ("3天", "1周", "10天", "半个月", "1个月", "2个月")
LONG = ("3个月", "半年", "1年", "2年", "5年")


class Patient(NamedTuple):
    """Who has the disease."""

    age: str
    sex: str
    child: bool


def cases_from_graph(graph: Graph, seed: int, *, source: str = "", license: str = "") -> Iterator[CaseFile]:
    """One case for every disease with enough symptoms that a patient can tell, in an order that the seed shuffles.

    The same graph and seed give the same cases, and a case does not change when other diseases join the graph, except
    for the symptoms it does not have.
    """
    sufferers: dict[str, list[str]] = {}
    for disease in graph.heads:
        for symptom in _tails(graph, disease, SYMPTOMS):
            sufferers.setdefault(symptom, []).append(disease)
    diseases = [disease for disease in graph.heads if _fits(graph, disease)]
    random.Random(seed).shuffle(diseases)
    for disease in diseases:
        yield _case(graph, sufferers, disease, seed).model_copy(update={"source": source, "license": license})


def _fits(graph: Graph, disease: str) -> bool:
    if NOT_ONLINE.search(disease) or not re.search(r"[一-鿿]{2}", disease) or re.search(r"[a-zA-Z（(]", disease):
        return False
    enough = len(_symptoms(graph, disease)) >= FEWEST_SYMPTOMS
    return enough and bool(_tails(graph, disease, DEPARTMENTS)) and bool(_tails(graph, disease, CHECKS))


def _case(graph: Graph, sufferers: dict[str, list[str]], disease: str, seed: int) -> CaseFile:
    chance = random.Random(f"{seed} {disease}")
    departments = _tails(graph, disease, DEPARTMENTS)
    symptoms = _symptoms(graph, disease)
    patient = _patient(disease, departments, symptoms, chance)
    own = [symptom for symptom in symptoms if _can_have(patient, symptom)] or symptoms
    has = chance.sample(own, min(len(own), chance.randint(2, 5)))
    has.sort(key=lambda symptom: symptom not in SPOKEN)
    lasting = chance.choice(_durations(disease, patient))
    past = PAST_OF_CHILDREN if patient.child else _past(disease, symptoms)
    absent = [symptom for symptom in _absent(graph, sufferers, disease, has, chance) if _can_have(patient, symptom)]
    checks = _tails(graph, disease, CHECKS)[:3]
    facts = [
        Fact(name="主诉", value=f"{has[0]}{lasting}"),
        Fact(name="持续时间", value=lasting),
        Fact(name="年龄", value=patient.age),
        Fact(name="性别", value=patient.sex),
        *(Fact(name=symptom, value="有") for symptom in has[1:]),
        *(Fact(name=symptom, value="没有") for symptom in absent[: chance.randint(1, MOST_ABSENT)]),
        Fact(name="既往史", value=chance.choice(past or ("没有得过大病",))),
        Fact(name="过敏史", value=chance.choice(ALLERGIES)),
        Fact(name="常用检查", value=f"还没有做，可以建议：{'、'.join(checks)}", seen_by=("doctor", "judge")),
    ]
    spoken = SPOKEN.get(has[0], has[0])
    return CaseFile(
        id=f"{disease}/{seed}",
        department=_department(departments),
        complaint=f"孩子{spoken}" if patient.child else spoken,
        facts=tuple(facts),
        diagnosis=disease,
        advice=_advice(graph, disease, checks),
    )


def _symptoms(graph: Graph, disease: str) -> list[str]:
    """The symptoms that a patient can tell."""
    tails = _tails(graph, disease, SYMPTOMS)
    return [tail for tail in tails if tail != disease and TELLS.search(tail) and not ONLY_FOUND.search(tail)]


def _absent(
    graph: Graph, sufferers: dict[str, list[str]], disease: str, has: Sequence[str], chance: random.Random
) -> list[str]:
    """Symptoms of diseases that share one with this patient, unlike anything that this disease brings."""
    own = _tails(graph, disease, SYMPTOMS)
    near = sorted({other for symptom in has for other in sufferers.get(symptom, ()) if other != disease})
    chance.shuffle(near)
    absent: list[str] = []
    for other in near:
        candidates = [symptom for symptom in _symptoms(graph, other) if not _alike(symptom, [disease, *own, *absent])]
        if candidates:
            absent.append(chance.choice(candidates))
        if len(absent) == 2 * MOST_ABSENT:  # some may not be for this patient
            break
    return absent


def _alike(symptom: str, others: Sequence[str]) -> bool:
    """Whether a symptom shares a telling character with any of the others: 高热 and 低热, 头痛 and 头晕."""
    telling = set(symptom.translate(ALIKE)) - COMMON
    return any(telling & set(other.translate(ALIKE)) for other in others)


def _can_have(patient: Patient, symptom: str) -> bool:
    """Nobody says he has no vaginal bleeding, and no child is asked about its periods."""
    man, woman = MAN.search(symptom), WOMAN.search(symptom)
    return not (man or woman) if patient.child else not (man if patient.sex == "女" else woman)


def _patient(disease: str, departments: Sequence[str], symptoms: Sequence[str], chance: random.Random) -> Patient:
    about = " ".join([disease, *departments])
    if not MAN.search(about) and not WOMAN.search(about):
        about = " ".join(symptoms)
    if CHILD.search(disease) or (departments and all(PAEDIATRIC.search(name) for name in departments)):
        return Patient(_age_of_child(disease, chance), _sex(disease, chance), child=True)
    if PREGNANT.search(disease):
        return Patient(f"{chance.randint(23, 36)}岁", "女", child=False)
    if OLD.search(disease):
        return Patient(
            f"{chance.randint(62, 79) if '老年' in disease else chance.randint(50, 70)}岁", _sex(about, chance), False
        )
    return Patient(f"{chance.randint(22, 60)}岁", _sex(about, chance), child=False)


def _durations(disease: str, patient: Patient) -> Sequence[str]:
    """How long it may have lasted: never longer than the patient lives."""
    if "急性" in disease or patient.age.endswith("天"):
        return SHORT
    if patient.age.endswith("个月"):
        return USUAL[:4]
    return (LONG[:3] if patient.child else LONG) if "慢性" in disease else USUAL


def _past(disease: str, symptoms: Sequence[str]) -> list[str]:
    about = " ".join([disease, *symptoms])
    return [told for told, clash in PAST if not re.search(clash, about)]


def _age_of_child(disease: str, chance: random.Random) -> str:
    if NEWBORN.search(disease):
        return f"{chance.randint(6, 27)}天"
    return f"{chance.randint(3, 11)}个月" if INFANT.search(disease) else f"{chance.randint(2, 12)}岁"


def _sex(about: str, chance: random.Random) -> str:
    either = chance.choice(("男", "女"))
    man, woman = MAN.search(about), WOMAN.search(about)
    if bool(man) == bool(woman):
        return either
    return "男" if man else "女"


def _department(departments: Sequence[str]) -> str:
    return next((name for name in departments if name not in GENERAL), departments[0])


def _advice(graph: Graph, disease: str, checks: Sequence[str]) -> str:
    ways = [way for way in _tails(graph, disease, TREATMENTS) if not VAGUE.search(way) and len(way) <= 12]
    treat = f"治疗以{'、'.join(ways[:4])}为主，具体方案遵医嘱。" if ways else ""
    return f"建议面诊，完善{'、'.join(checks)}。{treat}"


def _tails(graph: Graph, disease: str, relations: Sequence[str]) -> list[str]:
    return [tail for relation in relations for tail in graph.tails(disease, relation)]
