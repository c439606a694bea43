"""Human seeds in four formats, and errors that say where to look."""

import hashlib
import json

import pytest

from builders.sources.seed_tasks import OWN, HumanSeed, read_seeds
from schemas.settings import InputError
from schemas.taxonomy import NO_ROLE, load_taxonomy

TAXONOMY = load_taxonomy()

OURS = {
    "role": "护士",
    "department": "心内科",
    "character": "心内科责任护士",
    "intent": None,
    "instruction": "把下面的出院医嘱改写成患者看得懂的话。",
    "input": "阿司匹林肠溶片 100mg qd",
}
SELF_INSTRUCT = {
    "id": "seed_task_8",
    "name": "haiku",
    "instruction": "请以下面词语为主题写一首诗",
    "instances": [{"input": "夏天", "output": "不但春妍夏亦佳"}, {"input": "冬天", "output": "…"}],
    "is_classification": False,
}
ALPACA = {"instruction": "列出高血压患者的饮食禁忌", "input": "", "output": "少盐。"}
ALPACARE = {
    "topic": "Neurology",
    "view": "Student",
    "type": "Open Q&A",
    "instruction": "Explain what multiple sclerosis is.",
    "input": "<noinput>",
    "difficulty": "1",
}


@pytest.fixture
def read(tmp_path):
    """`read(text)`: the seeds of a file that holds this text or these bytes."""

    def seeds(content, name="seeds.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_seeds(path, TAXONOMY)

    return seeds


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("row", "seed"),
    [
        (
            OURS,
            HumanSeed(
                role="nurse",
                department="cardiology",
                character="心内科责任护士",
                instruction="把下面的出院医嘱改写成患者看得懂的话。",
                input="阿司匹林肠溶片 100mg qd",
            ),
        ),
        (SELF_INSTRUCT, HumanSeed(instruction="请以下面词语为主题写一首诗", input="夏天")),  # the first instance
        (ALPACA, HumanSeed(instruction="列出高血压患者的饮食禁忌")),
        (
            ALPACARE,
            HumanSeed(
                instruction="Explain what multiple sclerosis is.", role="medical_student", department="neurology"
            ),
        ),
        # AlpaCare's free strings are no closed vocabulary: what is not ours is nobody's
        ({**ALPACARE, "view": "Hospital CEO", "topic": "Pharmacology"}, HumanSeed(instruction=ALPACARE["instruction"])),
        (
            {**OURS, "department": None, "input": None},
            HumanSeed(role="nurse", character="心内科责任护士", instruction=OURS["instruction"]),
        ),
    ],
)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_each_format_is_read_from_lines_and_from_an_array(read, row, seed, form):
    text = lines(row, ALPACA) if form == "lines" else json.dumps([row, ALPACA], ensure_ascii=False, indent=2)
    first, second = read(text).seeds
    assert first == seed
    assert second == HumanSeed(instruction="列出高血压患者的饮食禁忌", role=NO_ROLE)


def test_one_file_may_mix_the_formats(read):
    assert len(read(lines(OURS, SELF_INSTRUCT, ALPACA, ALPACARE)).seeds) == 4


def test_the_file_is_known_by_its_name_and_its_hash(read):
    file = read(lines(ALPACA), name="自己的.jsonl")
    assert file.name == "自己的.jsonl"
    assert file.sha256 == hashlib.sha256(lines(ALPACA).encode()).hexdigest()


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_trouble(read):
    text = "\ufeff" + lines(OURS).replace("\n", "\r\n") + "\r\n\r\n" + lines(ALPACA)
    assert len(read(text).seeds) == 2


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_inside_a_text_does_not_end_the_line(read, separator):
    # JSON allows these raw inside a string; crawled medical text has them
    material = f"主诉：头晕三天{separator}现病史：无"
    (seed,) = read(lines({**ALPACA, "input": material})).seeds
    assert seed.input == material


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (lines(ALPACA) + '{"instruction": \n', ["line 2", "not JSON"]),
        (lines(ALPACA) + "\n" + lines({"input": "无指令"}), ["line 3", "instruction"]),
        (lines({**ALPACA, "instruction": "?"}), ["line 1", "instruction", "at least 2"]),
        (lines({**ALPACA, "instruction": 7}), ["line 1", "instruction", "string"]),
        (lines({**ALPACA, "input": ["a"]}), ["line 1", "input", "string"]),
        (lines(ALPACA, ["解释高血压"]), ["line 2", "expected an object, got list"]),
        (json.dumps([ALPACA, "解释高血压"]), ["item 2", "expected an object, got str"]),
        (json.dumps([ALPACA, {**ALPACA, "instruction": None}]), ["item 2", "instruction"]),
        ('[{"instruction": "解释高血压"},\n', ["line 2"]),
        (lines({**SELF_INSTRUCT, "instances": []}), ["line 1", "instances"]),
        (lines({**SELF_INSTRUCT, "instances": "夏天"}), ["line 1", "instances"]),
        (lines({**OURS, "role": "护土"}), ["line 1", "role", "护土", "护士"]),
        (lines(OURS, {**OURS, "department": "心血管"}), ["line 2", "department", "心血管内科"]),
        (lines({**OURS, "department": "nan"}), ["line 1", "department", "missing value"]),
        (lines({**OURS, "character": 3}), ["line 1", "character"]),
        ("", ["no seeds"]),
        ("[]", ["no seeds"]),
        ("[" + lines(ALPACA), ["line"]),
        (lines(ALPACA).encode("gb18030"), ["not UTF-8"]),
    ],
)
def test_a_wrong_file_is_one_line_naming_file_line_and_field(read, tmp_path, text, told):
    with pytest.raises(InputError) as refused:
        read(text)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'seeds.json'}: ")
    assert "\n" not in message
    assert all(part in message for part in told), message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.jsonl: No such file"):
        read_seeds(tmp_path / "nowhere.jsonl", TAXONOMY)


def test_our_own_seeds_are_many_and_of_many_people():
    seeds = read_seeds(OWN, TAXONOMY).seeds
    assert len(seeds) >= 60
    assert len({seed.role for seed in seeds}) >= 3
    assert all(seed.role in TAXONOMY.roles for seed in seeds)
    assert all(seed.department in TAXONOMY.departments for seed in seeds if seed.department)
    assert all(seed.intent in TAXONOMY.intents for seed in seeds if seed.intent)
    assert len({seed.instruction for seed in seeds}) == len(seeds)


@pytest.mark.parametrize(
    ("path", "count"),
    [("alpaca/seed_tasks.jsonl", 175), ("belle/zh_seed_tasks.json", 175), ("alpacare/med_seed.json", 167)],
)
def test_the_published_seed_files_are_read_whole(shared_data, path, count):
    seeds = read_seeds(shared_data / "seed_tasks" / path, TAXONOMY).seeds
    assert len(seeds) == count
    assert not any(seed.input == "<noinput>" for seed in seeds)


def test_most_of_alpacares_people_are_people_of_ours(shared_data):
    seeds = read_seeds(shared_data / "seed_tasks/alpacare/med_seed.json", TAXONOMY).seeds
    assert sum(seed.role != NO_ROLE for seed in seeds) > len(seeds) / 2
