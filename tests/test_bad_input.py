"""Whatever the user gets wrong: one clear line naming what and where, exit code 2, nothing written, nothing asked."""

import ctypes
import os
from pathlib import Path

import pytest
from aiohttp import web

REHEARSE = ("--teacher", "rehearsal", "--rows", 3, "--out", "set")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--departments", "心血官科"), "no department is called '心血官科'; did you mean"),
        (("--departments", "nan"), "'nan' is no department: missing value"),
        (("--roles", "dragon"), "no role is called 'dragon'"),
        (("--rows", "0"), "--rows: Input should be greater than 0, got '0'"),
        (("--rowz", "3"), "unrecognized arguments: --rowz 3; did you mean --rows?"),
        (("--max-jaccard", "1.5"), "--max-jaccard: Input should be less than or equal to 1"),
        (("--taxonomy", "none.toml"), "none.toml: No such file or directory"),
        (("--taxonomy", "broken.toml"), "broken.toml: not valid TOML"),
        (("--seeds", "broken.jsonl"), "broken.jsonl: line 2: not JSON"),
        (("--seeds", "missing.json"), "missing.json: item 1: instruction: "),
        (("--previous", "nowhere"), "--previous nowhere: no release there"),
        (("--recipe", "nothing-like-it"), "no file and no recipe is named 'nothing-like-it'; known recipes: huatuo1"),
        (("--teacher", "gpt-5-mini"), "--teacher gpt-5-mini: which endpoint? Say gpt-5-mini@ENDPOINT"),
        (("--teacher", "gpt-5-mini@mars"), "no endpoint is named 'mars'; known: openai, rehearsal"),
        (("--teacher", "gpt-5-mini@openai"), "endpoint openai: no key; set the environment variable OPENAI_API_KEY"),
        (("--teacher", "m", "--base-url", "ftp://x/v1"), "--base-url: base_urls: expected http://HOST/v1"),
        (("--teacher", "m", "--base-url", "http://u:p@h/v1"), "the address of h carries a credential"),
        (("--teacher", "m", "--base-url", "http://127.0.0.1:9/v1"), "nothing listens at http://127.0.0.1:9/v1/ (Connection refused)"),
        (("--teacher", "m", "--base-url", "http://127.0.0.1:9/v1", "--max-usd", "1"), "--max-usd: the price of m@127.0.0.1 is unknown"),
        (("--out", "file.txt"), "--out file.txt: is a file"),
        (("--out", "full"), "--out full: holds files that no builder wrote"),
        (("--out", "other"), "--out other: holds a release of chats, not of distilled_instructions; name another folder"),
        (("--ledger", "full"), "ledger full: is a folder"),
        (("--pr",), "--pr: say where to, with --push ORG/NAME"),
        (("--public",), "--public: say where to, with --push ORG/NAME"),
        (("--push", "org/name"), "--push: --teacher is the rehearsal; its rows stay here"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_exit_code_2(distill, arguments, line):
    Path("broken.toml").write_text("[departments\n")
    Path("broken.jsonl").write_text('{"instruction": "解释血压"}\n{oops\n')
    Path("missing.json").write_text('[{"input": "没有指令"}]')
    Path("file.txt").write_text("x")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("x")
    Path("other").mkdir()
    Path("other/manifest.json").write_text('{"version": "1.0.0", "content": "", "config": "chats", "files": {}}')
    made = distill(*REHEARSE, *arguments)
    assert made.code == 2
    assert line in made.talk.splitlines()[-1]
    assert made.talk.splitlines()[-1].startswith("distill_instructions: ")
    assert "Traceback" not in made.talk
    assert not Path("set").exists()


def test_without_a_teacher_the_ways_on_are_named(distill):
    made = distill("--rows", 3)
    assert made.code == 2
    for way in ("--teacher rehearsal", "MODEL@openai", "--base-url", "suwen.toml"):
        assert way in made.talk


@pytest.mark.parametrize(
    ("status", "body", "kind", "line"),
    [
        (401, '{"error": {"message": "bad key"}}', "application/json", "answered 401: bad key; check the key in SUWEN_API_KEY"),
        (404, '{"error": {"message": "no such model: m"}}', "application/json", "answered 404: no such model: m"),
        (400, '{"error": {"message": "no field max_tokens"}}', "application/json", "answered 400: no field max_tokens"),
        (429, '{"error": {"message": "pay", "code": "insufficient_quota"}}', "application/json", "answered 429: pay"),
        (200, "<html><title>Welcome</title></html>", "text/html", "answered 200 with something that is no chat completion: '<html>"),
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_used_is_one_line_and_exit_code_2(distill, answering, status, body, kind, line):
    url = answering(status, body, kind)
    made = distill("--teacher", "m", "--base-url", url, "--rows", 3, "--out", "set")
    assert made.code == 2
    assert line in made.talk.splitlines()[-1]
    assert not Path("set").exists()


@pytest.mark.parametrize("where", [("--ledger", "locked/ledger.sqlite"), ("--out", "locked/set")])
def test_a_read_only_folder_is_named_and_nothing_is_asked(process, rehearsal, where):
    server = rehearsal()
    Path("locked").mkdir(mode=0o555)
    at = ("--base-url", server.url, "--teacher", "rehearsal@rehearsal")
    child = process(*REHEARSE, *at, *where, preexec_fn=respect_permissions)
    _, talk = child.communicate(timeout=30)
    assert child.returncode == 2
    assert "locked" in talk.splitlines()[-1]
    assert "ermission denied" in talk.splitlines()[-1] or "unable to open" in talk.splitlines()[-1]
    assert server.asked.total() == 0


def respect_permissions() -> None:
    """Root may write anywhere; drop that right (CAP_DAC_OVERRIDE, by PR_CAPBSET_DROP) for the program about to start."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_recipe_gives_the_settings_and_flags_win_over_it(distill):
    Path("mine.toml").write_text(
        '[distill_instructions]\nteacher = "rehearsal"\nrows = 9\nout = "set"\ndepartments = ["儿科"]\n'
    )
    made = distill("--recipe", "mine.toml", "--rows", 5)
    assert made.said["rows"] == 5
    assert '"pediatrics' in Path("set/reports/coverage.json").read_text()


def test_an_endpoint_of_suwen_toml_is_asked_by_name(distill, rehearsal):
    url = rehearsal().url
    table = f'[endpoints.ward]\nbase_urls = ["{url}", "{url}"]\nusd_per_million = [1, 2]\nsends = ["max_tokens"]\n'
    Path("suwen.toml").write_text(table)
    made = distill("--teacher", "qwen@ward", "--rows", 3, "--out", "set", "--departments", "儿科", "--roles", "患者")
    assert (made.code, made.said["rows"]) == (0, 3)
    assert made.said["usd"] > 0
    Path("suwen.toml").write_text(table + 'pace = "fast"\n')
    wrong = distill("--teacher", "qwen@ward", "--rows", 3, "--out", "other")
    assert wrong.code == 2
    assert "suwen.toml: [endpoints.ward]: pace: Extra inputs are not permitted" in wrong.talk


@pytest.fixture
def answering(serve):
    """`answering(status, body, content_type)`: address of an API that always says that."""

    def always(status, body, kind):
        async def say(_):
            return web.Response(status=status, text=body, content_type=kind)

        return f"{serve(say)}/v1"

    return always
