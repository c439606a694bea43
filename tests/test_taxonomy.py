"""Departments, roles and intents resolve by any of their names, and by nothing else."""

import csv
import json

import pytest

from schemas.settings import InputError
from schemas.taxonomy import NO_ROLE, fold, load_taxonomy

HUATUO = (
    "皮肤科 儿科 骨科 泌尿外科 内科 妇科 妇产科 皮肤性病科 中医科 眼科 "
    "消化内科 产科 外科 神经内科 神经外科 口腔科 精神科 心血管内科 普外科 男科"
)
TAXONOMY = load_taxonomy()


@pytest.fixture
def extended(tmp_path):
    """`extended(toml)`: the taxonomy with a user's file on top."""

    def load(text):
        path = tmp_path / "ward.toml"
        path.write_text(text, encoding="utf-8")
        return load_taxonomy(path)

    return load


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("cardiology", "cardiology"),
        ("心血管内科", "cardiology"),
        ("心内科", "cardiology"),
        ("Cardiovascular Medicine", "cardiology"),
        ("消化科", "gastroenterology"),
        ("  儿科综合\n", "pediatrics"),
        ("ＩＣＵ", "intensive_care"),  # full width
        ("icu", "intensive_care"),
        ("b超室", "ultrasound"),
        ("皮肤科+皮肤性病科", "dermatovenereology"),
        ("肛肠科", "colorectal_surgery"),
        ("中医肛肠科", "tcm_proctology"),
    ],
)
def test_a_department_resolves_by_id_by_chinese_name_and_by_alias(name, id):
    assert TAXONOMY.department(name) == id


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("nurse", "nurse"),
        ("护士", "nurse"),
        ("ICU Nurse", "nurse"),
        ("家长", "relative"),
        ("GP", "general_practitioner"),
        ("ＧＰ", "general_practitioner"),
        ("Student’s View", "medical_student"),
        ("无角色", NO_ROLE),
    ],
)
def test_a_role_resolves_by_id_by_chinese_name_and_by_alias(name, id):
    assert TAXONOMY.role(name) == id


def test_every_name_of_every_department_and_role_resolves_to_it():
    for terms, resolve in ((TAXONOMY.departments, TAXONOMY.department), (TAXONOMY.roles, TAXONOMY.role)):
        for term in terms.values():
            assert {resolve(name.upper()) for name in (term.id, term.zh, *term.aliases)} == {term.id}


@pytest.mark.parametrize(
    ("name", "folded"), [("ＥＮＴ", "ent"), (" 眼科\u3000", "眼科"), ("Ob/Gyn", "ob/gyn"), ("㈠科", "(一)科")]
)
def test_names_are_compared_without_width_case_and_space_around_them(name, folded):
    assert fold(name) == folded


def test_the_huatuo_preset_is_the_twenty_departments_of_huatuogpt():
    preset = TAXONOMY.presets["huatuo"]
    assert len(preset) == 20
    assert " ".join(TAXONOMY.departments[id].zh for id in preset) == HUATUO
    assert set(TAXONOMY.select_departments(["huatuo"])) == set(preset)


def test_departments_are_selected_in_the_taxonomys_own_order_and_once():
    assert TAXONOMY.select_departments(["眼科", "cardiology", "心内科"]) == ("cardiology", "ophthalmology")
    assert TAXONOMY.select_departments(["all"]) == tuple(TAXONOMY.departments)
    assert TAXONOMY.select_departments([]) == ()


def test_roles_are_selected_in_the_taxonomys_own_order_and_once():
    assert TAXONOMY.select_roles(["护士", "none", "nurse"]) == ("none", "nurse")
    assert TAXONOMY.select_roles(["all"]) == tuple(TAXONOMY.roles)


def test_the_built_in_vocabulary_is_as_large_as_the_readers_are_told():
    assert len(TAXONOMY.roles) >= 15
    assert NO_ROLE in TAXONOMY.roles
    assert all(role.wants for role in TAXONOMY.roles.values())
    assert len(TAXONOMY.intents) == 10
    assert len(TAXONOMY.departments) >= 60


def test_every_parent_is_a_top_level_department():
    parents = {department.parent for department in TAXONOMY.departments.values()} - {""}
    assert len(parents) > 5
    assert all(TAXONOMY.departments[parent].parent == "" for parent in parents)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nan", "'nan' is no department: missing value"),
        ("NaN", "'NaN' is no department: missing value"),
        ("其他科室", "a catch-all"),
        ("减肥", "a goal of care"),
    ],
)
def test_a_string_that_is_known_to_be_no_department_is_refused_with_the_reason(name, reason):
    with pytest.raises(InputError, match=reason):
        TAXONOMY.department(name)


def test_an_activity_is_no_role():
    with pytest.raises(InputError, match="'Medical training' is no role: an activity, not a person"):
        TAXONOMY.role("Medical training")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("心血管", ["心血管科", "心血管外科", "心血管内科"]),
        ("皮肤", ["皮肤科"]),
        ("cardiolgy", ["cardiology"]),
        ("神经内课", ["神经内科"]),
    ],
)
def test_a_wrong_department_gets_the_nearest_names(name, nearest):
    with pytest.raises(InputError, match=f"no department is called '{name}'; did you mean") as refused:
        TAXONOMY.department(name)
    assert all(near in str(refused.value) for near in nearest)


def test_a_name_like_no_other_gets_no_hint():
    with pytest.raises(InputError) as refused:
        TAXONOMY.role("🩺")
    assert str(refused.value) == "no role is called '🩺'"


EXTENSION = """
version = "ward-7"

[departments.sleep_medicine]
zh = "睡眠医学科"
parent = "internal_medicine"
aliases = ["睡眠科", "Sleep Medicine"]

[departments.cardiology]
aliases = ["胸痛中心"]

[roles.dental_hygienist]
zh = "口腔卫生士"
wants = "洁治操作、口腔宣教"

[presets]
ward = ["sleep_medicine", "cardiology"]
"""


def test_a_users_file_adds_a_department_a_role_an_alias_and_a_preset(extended):
    taxonomy = extended(EXTENSION)
    assert taxonomy.department("睡眠科") == "sleep_medicine"
    assert taxonomy.departments["sleep_medicine"].parent == "internal_medicine"
    assert taxonomy.department("胸痛中心") == "cardiology"
    assert taxonomy.department("心内科") == "cardiology"  # its own names stay
    assert taxonomy.departments["cardiology"].code == "03.04"
    assert taxonomy.role("口腔卫生士") == "dental_hygienist"
    assert taxonomy.select_departments(["ward"]) == ("cardiology", "sleep_medicine")
    assert taxonomy.version == f"{TAXONOMY.version}+ward-7"


def test_a_users_file_leaves_the_built_in_taxonomy_alone(extended):
    extended(EXTENSION)
    with pytest.raises(InputError):
        load_taxonomy().department("睡眠科")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[departments.sleep]\nzh = "睡眠科"\nparent = "somnology"', ["departments.sleep", "somnology"]),
        ('[departments.sleep]\nzh = "睡眠科"\nparent = "cardiology"', ["departments.sleep", "cardiology"]),
        ('[departments.sleep]\nzh = "睡眠科"\naliases = ["眼科"]', ["departments.sleep", "眼科", "ophthalmology"]),
        ('[roles.matron]\nzh = "护士"\nwants = "排班"', ["roles.matron", "护士", "nurse"]),
        ('[wards.sleep]\nzh = "睡眠科"', ["[wards]", "departments"]),
        ("[departments.sleep]", ["departments.sleep.zh", "required"]),
        ('[roles.matron]\nzh = "护士长"', ["roles.matron.wants", "required"]),
        ('[departments.sleep]\nzh = "睡眠科"\nfloor = 3', ["departments.sleep.floor"]),
        ('[departments.sleep]\nzh = "睡眠科"\naliases = "失眠"', ["departments.sleep.aliases"]),
        ("[departments.cardiology]\naliases = 3", ["departments.cardiology.aliases"]),
        ('[departments.cardiology]\naliases = "胸痛中心"', ["departments.cardiology.aliases"]),
        ('[departments]\nsleep = "睡眠科"', ["departments.sleep"]),
        ('departments = "睡眠科"', ["departments"]),
        ('[presets]\nward = ["somnology"]', ["presets.ward", "somnology"]),
        ("[departments.sleep\n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_one_line_naming_the_file_and_the_entry(extended, tmp_path, text, told):
    with pytest.raises(InputError) as refused:
        extended(text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'ward.toml'}: ")
    assert "\n" not in message
    assert all(part in message for part in told), message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml: No such file"):
        load_taxonomy(tmp_path / "nowhere.toml")


def test_a_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "gbk.toml"
    path.write_bytes('[departments.sleep]\nzh = "睡眠科"'.encode("gb18030"))
    with pytest.raises(InputError, match=r"gbk\.toml: not UTF-8"):
        load_taxonomy(path)


def strange(names):
    """The names that neither resolve nor stand under `unmapped` with a reason."""
    reasons = {name: TAXONOMY.unmapped.get(fold(name)) for name in names}
    unknown = [name for name, reason in reasons.items() if not reason]
    left = []
    for name in unknown:
        try:
            TAXONOMY.department(name)
        except InputError:
            left.append(name)
    return left


def test_the_departments_of_the_knowledge_graph_are_known(shared_data):
    names = (shared_data / "t_zhan_kg/entity/科室.txt").read_text(encoding="utf-8-sig").split()
    assert len(names) == 72 + 1  # 72 departments, and nan
    assert strange(names) == []


def test_the_departments_that_diseases_are_sent_to_are_known(shared_data):
    lines = (shared_data / "t_zhan_kg/relation/科室.txt").read_text(encoding="utf-8-sig").splitlines()
    edges = [line.split(" 科室 科室 ") for line in lines if line.strip()]  # 疾病 X 科室 科室 Y
    assert len(edges) == 17_588
    assert strange({department for _, department in edges}) == []


def test_the_departments_of_real_questions_are_known(shared_data):
    with (shared_data / "toyhom_zh_qa/内科_first4000.gb18030.csv").open(encoding="gb18030", newline="") as file:
        names = {row["department"] for row in csv.DictReader(file)}
    assert len(names) == 11
    assert strange(names) == []


def test_the_departments_of_simulated_consultations_are_known(shared_data):
    rows = [row for path in shared_data.glob("disc_medllm_gpt35/*.json") for row in json.loads(path.read_text("utf-8"))]
    names = {row["dataset_info"]["department"] for row in rows if "department" in row.get("dataset_info", {})}
    assert len(names) >= 6
    assert strange(names) == []
