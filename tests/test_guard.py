"""The entity guard: what a rewriting may change, and what it may not."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.engine.entities.guard import Change, Guard, Verdict
from builders.engine.entities.lexicon import Lexicon

GUARD = Guard(Lexicon.built_in())
PAIRS = Path(__file__).parent / "data"
HELLO, WISH = "您好，很高兴为您解答。", "祝您早日康复。"


def faithful(raw: str, polished: str) -> bool:
    return GUARD.compare(raw, polished).faithful


def kinds(raw: str, polished: str) -> set[str]:
    verdict = GUARD.compare(raw, polished)
    return {change.kind for change in (*verdict.lost, *verdict.invented)}


def test_a_verdict_names_what_was_lost_and_what_was_invented():
    verdict = GUARD.compare("布洛芬5ml，不要吃头孢", "您好，布洛芬每次10毫升，请不要吃头孢")
    assert verdict.lost == (Change("dose", "5 ml", "5ml"),)
    assert verdict.invented == (Change("dose", "10 ml", "10毫升"),)
    assert not verdict.faithful


def test_retention_is_the_share_that_survived():
    assert GUARD.compare("阿莫西林0.5g，布洛芬5ml", "阿莫西林0.5g，布洛芬10ml").retention == 0.75
    assert Verdict((), (), 0).retention == 1.0


@pytest.mark.parametrize(
    ("raw", "polished"),
    [
        ("布洛芬5ml，不要吃头孢", "您好，布洛芬每次5毫升，请不要服用头孢。"),
        ("一天三次，一次两片", "每次2片，每日3次。"),
        ("没有发烧、咳嗽和呕吐，不考虑肺炎", "孩子没有发热，也没有咳嗽、呕吐，暂不考虑肺炎。"),
        ("不建议手术，先保守", "目前不推荐手术，建议先保守治疗。"),
        ("不能吃海鲜，可以吃鸡蛋", "您好，海鲜请不要吃，鸡蛋是可以吃的。"),
        ("左肾结石0.6cm，右肾积水", "您好，左侧肾脏有0.6厘米的结石，右侧肾脏积水。"),
        ("阿莫西林0.5g tid，奥美拉唑20mg bid", "阿莫西林每次500毫克，每日3次；奥美拉唑每次20毫克，每日2次。"),
        ("不排除肺炎，拍个胸片", "目前不能排除肺炎，建议做胸部X线检查。"),
        ("隔天换一次药，别沾水", "伤口每两天换药一次，避免沾水。"),
        ("头孢过敏的不能用，换阿奇霉素", "若对头孢过敏则不可使用，可换用阿奇霉素。"),
        ("慢性胃炎，不是胃溃疡", "您好，考虑慢性胃炎，并非胃溃疡，请放心。"),
        ("饭前吃，别喝酒", "请在餐前服用，期间不要饮酒。"),
        ("布洛芬10mg/kg，间隔6小时", "布洛芬每公斤体重10毫克，两次间隔6小时。"),
        ("可以同房，不影响怀孕", "您好，可以有性生活，对怀孕没有影响。"),
        ("右下腹疼，像阑尾炎，不要热敷", "您右下腹疼痛，考虑阑尾炎可能，请避免热敷。"),
        ("肝功正常，不用保肝药", "您的肝功能是正常的，因此无需使用保肝药物。"),
        ("高血压不能停药", "高血压患者请坚持服药，不要停药。"),
        ("双侧扁桃体二度肿大", "两侧扁桃体Ⅱ度肿大。"),
        ("每8小时一次", "请每8个小时服用1次。"),
        ("7天一个疗程", "一周为1个疗程。"),
        ("没啥事，不用管", "目前没有大碍，无需处理。"),
        ("感冒了，多喝水", "您好，考虑是感冒，请多饮水，如果出现高热请及时就医，做个检查。"),
        ("别吃辛辣，别喝酒", "饮食宜清淡，忌辛辣、戒酒。"),
        ("发烧38.5以上吃退烧药", "体温超过38.5℃时可服用退烧药。"),
        ("氯雷他定10mg qn", "氯雷他定每次10毫克，每晚1次。"),
        ("半年做个B超", "建议每6个月做1次超声检查。"),
        ("宝宝大便次数不多", "是这样的，宝宝大便次数不多。"),
        ("关系不大的，不用紧张", "您好，这两者之间并没有太大的关系，请您不要过于紧张。"),
        ("没怀的话不用吃黄体酮", "如果没有怀孕，此时不必服用黄体酮。"),
        ("三天不好手术", "如果3天后没有好转，则需要手术。"),
        ("怀孕不能吃左氧氟沙星，有没有怀孕？", "请问您是否怀孕？如果已怀孕，则不可服用左氧氟沙星。"),
        ("母乳不用停，妈妈不用忌口", "母乳喂养可以继续，妈妈也无需特别忌口。"),
        ("脑梗没有，咳嗽不", "没有脑梗死。请问有咳嗽吗？"),
        ("泼尼松现在10mg别自己减", "泼尼松目前的剂量为10毫克，请不要自行减量。"),
        ("少盐，起床慢一点免得头晕", "请控制食盐，缓慢起身，以防头晕。"),
        ("腰突，缺铁贫血", "您患有腰椎间盘突出和缺铁性贫血。"),
        ("不用吃消炎药，安眠药不能吃", "无需使用抗生素，并且禁用安眠类药物。"),
        ("乙肝大三阳，溃疡切一块化验", "您是乙肝大三阳，溃疡需要取组织进行活检。"),
        ("二甲双胍0.5一天两次", "二甲双胍每次0.5克，每日2次。"),
        ("一天练100个", "每天练习100次。"),
        ("三级，热敷15分钟，蛋白一天每公斤0.6克", "III级，热敷一刻钟，蛋白质每日每公斤体重0.6g。"),
        ("巴氏腺囊肿，化脓要切开，左边的", "您左侧的前庭大腺囊肿若已化脓，则需要切开。"),
        ("哪边疼？左边还是右边", "疼痛的部位是在左侧还是右侧呢？"),
    ],
)
def test_other_words_for_the_same_are_faithful(raw, polished):
    verdict = GUARD.compare(raw, polished)
    assert (verdict.lost, verdict.invented) == ((), ())


@pytest.mark.parametrize(
    ("raw", "polished", "kind"),
    [
        ("布洛芬10mg/kg，间隔6小时", "布洛芬每次10毫克，两次间隔6小时。", "dose"),
        ("吃半片，睡前吃", "睡前服用一片即可。", "dose"),
        ("优甲乐50ug", "优甲乐50mg", "dose"),
        ("一天三次，一次两片", "每次2片，每日2次。", "frequency"),
        ("隔天换一次药", "伤口每天换药一次。", "frequency"),
        ("阿莫西林0.5g tid，奥美拉唑20mg bid", "阿莫西林500毫克，每日2次；奥美拉唑20毫克，每日3次。", "frequency"),
        ("头孢过敏的换阿奇霉素", "若对头孢过敏，可换用左氧氟沙星。", "drug"),
        ("考虑肺炎", "考虑支气管炎", "disease"),
        ("慢性胃炎", "急性胃炎", "disease"),
        ("周围性面瘫", "中枢性面瘫", "qualifier"),
        ("请在饭前服用", "请在饭后服用", "qualifier"),
        ("先做胃镜", "先做肠镜", "test"),
        ("吃8周", "吃6周", "duration"),
        ("左肾结石，右肾积水", "左肾积水，右肾结石。", "side"),
        ("右下腹疼，像阑尾炎", "您左下腹疼痛，考虑阑尾炎可能。", "side"),
        ("双侧扁桃体肿大", "左侧扁桃体肿大", "side"),
        ("不考虑肺炎", "考虑肺炎", "negation"),
        ("没有发烧，咳嗽三天", "发烧、咳嗽三天", "negation"),
        ("不建议手术，先保守", "目前建议手术治疗，也可以先保守。", "negation"),
        ("不能吃海鲜，可以吃鸡蛋", "您好，可以吃海鲜，也可以吃鸡蛋。", "negation"),
        ("可以同房", "您好，暂时不要同房。", "negation"),
        ("不排除肺炎", "目前可以排除肺炎", "negation"),
        ("高血压不能停药", "高血压患者可以停药。", "negation"),
        ("哮喘患者禁用普萘洛尔", "哮喘患者可用普萘洛尔。", "negation"),
        ("阿司匹林不能碰", "可以使用阿司匹林。", "negation"),
        ("不要饮酒，尤其不要长期饮酒", "要饮酒，尤其不要长期饮酒", "negation"),
        ("一周别坐飞机别干重活", "7天内可以照常乘飞机，但不要从事重体力劳动。", "negation"),
        ("过敏的话不能吃", "如果过敏，则仍可使用下面的阿莫西林。", "negation"),
        ("不能自己停药", "您可以自行停药。", "negation"),
        ("是敏感肌不是玫瑰痤疮", "您属于玫瑰痤疮，而不是敏感肌。", "negation"),
        ("右耳滴药", "滴入双耳", "side"),
        ("甲肝会传染", "乙肝具有传染性", "disease"),
        ("上呼吸道感染", "这是下呼吸道感染", "disease"),
        ("茶苯海明一片", "苯海拉明1片", "drug"),
    ],
)
def test_a_change_of_medicine_is_caught_under_its_name(raw, polished, kind):
    assert kind in kinds(raw, polished)


def test_a_thing_said_twice_counts_once_and_comfort_counts_nothing():
    assert faithful("吃阿莫西林，阿莫西林饭后吃", "请饭后服用阿莫西林，不要担心")


def test_a_symptom_may_be_explained_but_not_a_disease():
    assert faithful("考虑肺炎", "考虑肺炎，可能会有咳嗽、发热")
    assert kinds("考虑肺炎", "考虑肺炎合并哮喘") == {"disease"}


def test_a_diagnosis_must_stay_but_not_a_disease_named_in_passing():
    assert kinds("考虑肺炎，多喝水", "请多喝水") == {"disease"}
    assert kinds("慢性胃炎，吃奥美拉唑", "请服用奥美拉唑") == {"disease"}
    assert faithful("乳腺癌术后吃来曲唑2.5mg", "术后请服用来曲唑2.5毫克")
    assert kinds("术后吃来曲唑2.5mg", "乳腺癌术后请服用来曲唑2.5毫克") == {"disease"}


def test_a_denial_that_is_turned_round_is_caught_and_one_that_is_left_out_proves_nothing():
    assert kinds("没有抽搐", "孩子有抽搐") == {"negation"}
    assert faithful("没有抽搐，观察", "请注意观察")


def test_a_full_stop_changes_nothing():
    for raw in ("关系不大", "问题不大", "大便次数不多", "咳嗽不", "左侧没有"):
        assert faithful(raw, f"{raw}。")
        assert faithful(f"{raw}，", raw)


def test_english_is_compared_without_complaint():
    assert faithful("Take 200 mg twice a day.", "Please take 200 mg twice a day.")
    assert kinds("Take 200 mg.", "Take 400 mg.") == {"dose"}


TEXTS = st.text(
    alphabet="没有不要能吃头孢肺炎左右腿疼一二三半天周次片mg/0.5，。、；\n但可以停药如果就的话吗？好再查无需",
    max_size=80,
)
REAL = st.sampled_from(
    [json.loads(line)["raw"] for line in (PAIRS / "guard_pairs.jsonl").read_text("utf-8").splitlines()]
)


@given(TEXTS | REAL)
def test_a_text_is_faithful_to_itself(text):
    assert GUARD.compare(text, text)[:2] == ((), ())


@given(TEXTS | REAL)
def test_a_greeting_and_a_wish_change_nothing(text):
    assert GUARD.compare(text, f"{HELLO}{text}。{WISH}")[:2] == ((), ())


def judged(name: str) -> tuple[list[bool], list[bool]]:
    """Of a file of pairs: whether each change was caught, and whether each honest rewriting was turned away."""
    pairs = [json.loads(line) for line in (PAIRS / f"{name}.jsonl").read_text("utf-8").splitlines()]
    told = [(pair["change"], not faithful(pair["raw"], pair["polished"])) for pair in pairs]
    return [rejected for change, rejected in told if change], [rejected for change, rejected in told if not change]


@pytest.mark.parametrize("name", ["guard_pairs", "guard_pairs_more"])
def test_the_pairs_it_was_tuned_on_meet_the_bar(name):
    caught, turned_away = judged(name)
    assert sum(caught) >= 0.98 * len(caught) > 0
    assert sum(turned_away) <= 0.05 * len(turned_away)


def test_the_pairs_it_was_not_tuned_on():
    """Measured when the tuning was over: 64 of 66 changes caught, 13 of 66 honest rewritings turned away.

    That is short of the bar that the tuned pairs meet; the figures are a floor and a ceiling, not a goal.
    """
    caught, turned_away = judged("guard_pairs_held_back")
    assert (len(caught), len(turned_away)) == (66, 66)
    assert sum(caught) >= 64
    assert sum(turned_away) <= 13
