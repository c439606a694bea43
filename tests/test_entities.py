"""Medical entities: what is found, under which name, in which unit, and whether it is denied."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.engine.entities.automaton import Words
from builders.engine.entities.lexicon import Lexicon
from builders.engine.entities.mentions import Mention, folded
from schemas.settings import InputError

LEXICON = Lexicon.built_in()
NAMED = ("disease", "symptom", "drug", "test")


def found(text: str, *kinds: str) -> list[tuple[str, str]]:
    """(what the text says, canonical value) of the kinds asked for."""
    return [(one.text, one.value) for one in LEXICON.mentions(text) if one.kind in kinds]


def values(text: str, *kinds: str) -> list[str]:
    return [value for _, value in found(text, *kinds)]


def denied(text: str) -> dict[str, bool]:
    return {one.text: one.negated for one in LEXICON.mentions(text) if one.kind in NAMED}


def test_an_everyday_word_and_a_medical_one_are_the_same_symptom():
    assert found("孩子拉肚子，发烧", "symptom") == [("拉肚子", "腹泻"), ("发烧", "发热")]


def test_a_mention_says_where_it_stands():
    text = "先吃阿莫西林胶囊0.5克"
    assert LEXICON.mentions(text) == [
        Mention("drug", 2, 8, "阿莫西林胶囊", "阿莫西林", False),
        Mention("dose", 8, 12, "0.5克", "500 mg", False),
    ]


def test_the_longest_name_wins():
    assert found("慢性胃炎", "disease") == [("慢性胃炎", "慢性胃炎")]
    assert values("头孢克肟", "drug") == ["头孢克肟"]


def test_single_characters_and_everyday_words_are_no_entities():
    assert found("先检查再治疗，吐了也别慌", *NAMED) == [("吐了", "呕吐")]
    assert "咳" in LEXICON.skipped


@pytest.mark.parametrize("form", ["胶囊", "片", "分散片", "颗粒", "缓释片", "肠溶片", "干混悬剂", "软膏", "注射液"])
def test_dosage_forms_fold_away(form):
    assert found(f"阿莫西林{form}，饭后", "drug") == [(f"阿莫西林{form}", "阿莫西林")]


def test_a_drug_no_list_has_is_known_by_its_ending():
    assert values("可以用西他沙星片", "drug") == ["西他沙星"]
    assert values("吃参乌健脑胶囊，早晚各一次", "drug") == ["参乌健脑"]
    assert found("拍了一张照片，影片和图片也看了", "drug") == []


def test_latin_abbreviations_count_only_on_their_own():
    assert values("查一下CRP", "test") == ["C反应蛋白"]
    assert values("scrpt", "test") == []
    assert values("维生素D400单位", "drug") == ["维生素D"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5克", "500 mg"),
        ("500mg", "500 mg"),
        ("50ug", "0.05 mg"),
        ("５毫升", "5 ml"),
        ("80万单位", "800000 iu"),
        ("半片", "0.5 片"),
        ("1/2片", "0.5 片"),
        ("一片半", "1.5 片"),
        ("一到两片", "1-2 片"),
        ("一百五毫升", "150 ml"),
        ("10mg/kg", "10 mg/kg"),
        ("每公斤体重10~15毫克", "10-15 mg/kg"),
    ],
)
def test_a_dose_has_one_value_in_one_unit(text, value):
    assert values(text, "dose") == [value]


@pytest.mark.parametrize(
    "text",
    ["一天三次", "每日3次", "日三次", "每天3回", "3次/日", "tid", "TID", "早中晚各一次", "每天服用三次"],
)
def test_three_times_a_day_has_many_spellings(text):
    assert values(text, "frequency") == ["3/day"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bid", "2/day"),
        ("早晚各一次", "2/day"),
        ("qid", "4/day"),
        ("每晚一次", "1/day"),
        ("q8h", "1/8 hour"),
        ("每8小时一次", "1/8 hour"),
        ("4-6小时一次", "1/4-6 hour"),
        ("隔日一次", "1/2 day"),
        ("每隔一天换一次药", "1/2 day"),
        ("两天测一次", "1/2 day"),
        ("一周两次", "2/7 day"),
        ("每周涂抹3次", "3/7 day"),
        ("半年复查一次", "1/6 month"),
        ("每12个月复查一次", "1/year"),
        ("24小时内不超过4次", "4/day"),
    ],
)
def test_a_frequency_is_a_count_in_a_period(text, value):
    assert values(text, "frequency") == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("两周", "14 day"),
        ("7天", "7 day"),
        ("半个月", "15 day"),
        ("一个半月", "45 day"),
        ("半年", "6 month"),
        ("48小时", "2 day"),
        ("半小时", "30 minute"),
        ("两三天", "2-3 day"),
        ("2、3天", "2-3 day"),
        ("一年", "1 year"),
    ],
)
def test_a_duration_is_told_in_days_months_or_years(text, value):
    assert values(text, "duration") == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("38度5", "38.5 ℃"),
        ("38.5℃", "38.5 ℃"),
        ("1岁半", "1.5 岁"),
        ("血压140/90mmHg", "140-90 mmhg"),
        ("0.4公分", "0.4 cm"),
        ("Ⅱ度", "2 度"),
        ("二度", "2 度"),
        ("百分之", ""),
        ("3%", "3 %"),
        ("TSH控0.5~2", "0.5-2"),
    ],
)
def test_measured_values(text, value):
    assert values(text, "number") == ([value] if value else [])


def test_numbers_that_number_a_list_are_no_values():
    assert values("10、多喝水\n11、休息", "number") == []


def test_a_leg_is_a_leg_however_it_is_called():
    assert {*values("左腿", "side"), *values("左下肢", "side"), *values("左侧下肢", "side")} == {"left 腿"}
    assert values("右侧卵巢，两侧甲状腺", "side") == ["right 卵巢", "both"]
    assert values("10天左右，左氧氟沙星", "side") == []


def test_a_denial_reaches_over_an_enumeration_and_no_further():
    assert denied("没有发烧、咳嗽和呕吐，有腹泻") == {"发烧": True, "咳嗽": True, "呕吐": True, "腹泻": False}


@pytest.mark.parametrize(
    "text", ["没有肺炎", "未见肺炎", "无肺炎", "否认肺炎", "排除肺炎", "不考虑肺炎", "不是肺炎", "肺炎可以排除"]
)
def test_many_words_deny(text):
    assert denied(text) == {"肺炎": True}


@pytest.mark.parametrize(
    "text", ["不排除肺炎", "肺炎不能除外", "有没有肺炎", "是不是肺炎", "无论肺炎与否", "不仅有肺炎"]
)
def test_double_negations_and_questions_deny_nothing(text):
    assert denied(text) == {"肺炎": False}


@pytest.mark.parametrize("text", ["不要吃头孢", "禁用头孢", "避免头孢", "头孢不能吃", "头孢慎用", "头孢就别用了"])
def test_a_drug_that_is_advised_against_is_negated(text):
    assert list(denied(text).values()) == [True]


def test_what_follows_a_but_is_not_denied():
    assert denied("没有发烧但咳嗽") == {"发烧": True, "咳嗽": False}


def test_lists_of_ones_own_come_on_top(tmp_path):
    (tmp_path / "药品.txt").write_text("\ufeff灵芝草片\r\n神仙水 = 仙水, 仙露\r\n", encoding="utf-8")
    (tmp_path / "疾病症状.txt").write_text("# 注\n翘脚（一种）\n疼\n", encoding="utf-8")
    (tmp_path / "科室.txt").write_text("内科\n", encoding="utf-8")
    lexicon = Lexicon.read([tmp_path])
    told = {(one.kind, one.value) for one in lexicon.mentions("喝仙露治翘脚，拉肚子去内科")}
    assert told == {("drug", "神仙水"), ("symptom", "翘脚"), ("symptom", "腹泻")}
    alone = Lexicon.read([tmp_path / "药品.txt"], built_in=False)
    assert [one.value for one in alone.mentions("仙水加灵芝草片，拉肚子")] == ["神仙水", "灵芝草"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("药品.txt", "阿莫西林\n = 阿莫仙\n", r"药品\.txt: line 2: expected a name"),
        ("药品.txt", "阿莫西林 = 阿莫仙,,\n", r"药品\.txt: line 1: expected a name"),
        ("名单.txt", "阿莫西林\n", r"名单\.txt: the file name must say"),
    ],
)
def test_a_bad_list_names_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Lexicon.read([path])


def test_a_list_that_is_not_utf8_and_a_folder_without_lists_are_bad_input(tmp_path):
    (tmp_path / "drugs.txt").write_bytes("阿莫西林".encode("gb18030"))
    with pytest.raises(InputError, match=r"drugs\.txt: not UTF-8 text"):
        Lexicon.read([tmp_path])
    with pytest.raises(InputError, match="no such file or folder"):
        Lexicon.read([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no list of diseases"):
        Lexicon.read([tmp_path / "empty"])


def test_folding_moves_no_character():
    assert folded("Ｃ反應蛋白（ＣＲＰ），１０㎎ İ") == "c反应蛋白(crp)，10㎎ İ"


@given(st.text(alphabet="没有不能吃头孢左右腿疼一二三半天周次片mg/0.5，。、 \n㎎½Ⅱİ😀", max_size=60))
def test_every_mention_is_what_the_text_has_there(text):
    for one in LEXICON.mentions(text):
        assert one.text == text[one.start : one.end] != ""


@given(
    st.lists(st.text(alphabet="甲乙丙", min_size=2, max_size=4), max_size=6), st.text(alphabet="甲乙丙丁", max_size=20)
)
def test_the_fast_search_finds_what_the_obvious_one_finds(names, text):
    words = {name: name for name in names}
    expected, at = [], 0
    while at < len(text):
        longest = max((name for name in words if text.startswith(name, at)), key=len, default="")
        if longest:
            expected.append((at, at + len(longest), longest))
        at += len(longest) or 1
    assert list(Words(words).find(text)) == expected


def test_english_and_nothing_at_all_are_read_without_complaint():
    assert LEXICON.mentions("") == []
    assert [one.value for one in LEXICON.mentions("Take ibuprofen 200 mg bid for 5 days") if one.kind != "number"] == [
        "200 mg",
        "2/day",
    ]


def test_the_lists_are_as_long_as_they_say():
    folder = Path("builders/engine/entities/words")
    root = Path(__file__).resolve().parent.parent
    sizes = {
        name: len([line for line in (root / folder / f"{name}.txt").read_text("utf-8").splitlines() if line[0] != "#"])
        for name in ("drugs", "diseases", "symptoms", "tests")
    }
    assert sizes["drugs"] >= 700
    assert sizes["diseases"] >= 600
    assert sizes["symptoms"] >= 370
    assert sizes["tests"] >= 300


def test_thousands_of_texts_a_second():
    """Measured at 5,000 a second; the bar is far below, for slow machines."""
    text = (
        "孩子拉肚子三天，没有发烧，大便没血，蒙脱石散一次半包一天三次，妈咪爱一袋bid，别吃水果，尿少要补液，左侧腹部隐痛。"
        * 3
    )
    started = time.perf_counter()
    for _ in range(100):
        LEXICON.mentions(text[:150])
    assert time.perf_counter() - started < 1
