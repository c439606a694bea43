"""A command line is a pydantic model: flags, recipe, defaults, and one line for anything wrong."""

import pytest

from schemas.settings import BuildSettings, parse, run_command


class BuildToys(BuildSettings):
    """Build toy rows for a test."""

    command = "build_toys"

    share: float = 0.3
    """Share of the answers that are kept; 30 % as a rule."""
    departments: tuple[str, ...] = ("huatuo",)
    """Departments, comma-separated."""


@pytest.fixture
def recipe(tmp_path):
    """`recipe(toml)`: the path of a recipe file that says so."""

    def write(text):
        path = tmp_path / "night.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def complaint(capsys):
    """`complaint(*flags)`: the one line on stderr, after checking that it is one and that the exit code is 2."""

    def complain(*flags):
        with pytest.raises(SystemExit) as ended:
            run_command(BuildToys, lambda settings: pytest.fail(f"ran with {settings}"), flags)
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert said.out == ""
        assert said.err.endswith("\n")
        assert said.err.count("\n") == 1
        assert said.err.startswith("build_toys: ")
        return said.err.strip()

    return complain


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults(recipe):
    night = recipe("[build_toys]\nrows = 7\nat-once = 3\n[other]\nrows = 9\n")
    settings = parse(BuildToys, ["--recipe", night, "--rows", "5"])
    assert settings.rows == 5  # flag
    assert settings.at_once == 3  # recipe, dashes allowed
    assert settings.seed == 0  # default
    assert settings.recipe == night


def test_a_recipe_is_found_behind_an_equals_sign_too(recipe):
    night = recipe("[build_toys]\nrows = 7\n")
    assert parse(BuildToys, [f"--recipe={night}"]).rows == 7


def test_a_value_of_the_recipe_is_checked_like_a_flag(recipe, complaint):
    night = recipe('[build_toys]\nrows = "viele"\n')
    assert "--rows" in complaint("--recipe", night)


def test_a_list_is_given_with_commas_or_by_repeating_the_flag():
    assert parse(BuildToys, ["--departments", "儿科,骨科"]).departments == ("儿科", "骨科")
    assert parse(BuildToys, ["--departments", "儿科", "--departments", "骨科"]).departments == ("儿科", "骨科")


def test_the_environment_is_not_a_source(monkeypatch):
    for name in ("ROWS", "rows", "SUWEN_ROWS", "BUILD_TOYS_ROWS", "SEED", "SHARE"):
        monkeypatch.setenv(name, "9")
    monkeypatch.setenv("DRY_RUN", "true")
    monkeypatch.setenv("TEACHER", "gpt-5@openai")
    settings = parse(BuildToys, [])
    assert settings == BuildToys.model_construct()
    assert (settings.share, settings.seed, settings.dry_run, settings.teacher) == (0.3, 0, False, None)


def test_a_dotenv_file_is_not_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SHARE=9\nTEACHER=gpt-5@openai\n")
    settings = parse(BuildToys, [])
    assert (settings.share, settings.teacher) == (0.3, None)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--rows", "many"], ["--rows", "integer", "'many'"]),
        (["--rows", "0"], ["--rows", "greater than 0", "'0'"]),
        (["--pilot", "1"], ["--pilot", "greater than 1"]),
        (["--max-usd", "-3"], ["--max-usd", "greater than 0"]),
        (["--max-usd", "nan"], ["--max-usd", "'nan'"]),
        (["--rows", "0", "--at-once", "none"], ["--rows", "--at-once"]),
        (["--rows"], ["--rows", "expected one argument"]),
        (["--rwos", "3"], ["--rwos", "did you mean --rows?"]),
        (["--row", "3"], ["--row", "did you mean --rows?"]),  # no guessing at shortened flags
        (["--at_once", "3"], ["--at_once", "did you mean --at-once?"]),
        (["--dry-run=perhaps"], ["--dry-run", "perhaps"]),
        (["rehearsal"], ["unrecognized arguments: rehearsal"]),
        (["--recipe"], ["--recipe", "expected one argument"]),
        (["--recipe", "nachtschicht"], ["--recipe", "nachtschicht"]),
        (["--recipe", "nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["--recipe", "."], ["Is a directory"]),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(complaint, flags, told):
    line = complaint(*flags)
    assert all(part in line for part in told), line


@pytest.mark.parametrize("price", ["cheap", "1", "1,2,3", "0.25;2", "-1,2", "1,", "", "1, 2"])
def test_a_price_that_is_not_two_numbers_is_refused(complaint, price):
    line = complaint(f"--price={price}")
    assert line.startswith("build_toys: --price: expected IN,OUT in US dollars per million tokens")
    assert repr(price) in line


@pytest.mark.parametrize("price", ["0.25,2", "0,0", "10,30.5"])
def test_a_price_of_two_numbers_is_taken(price):
    assert parse(BuildToys, ["--price", price]).price == price


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[build_toys]\nrwos = 3\n", ["night.toml", "[build_toys]", "'rwos'", "did you mean --rows?"]),
        ("[build_toys]\nfarbe = 3\n", ["night.toml", "[build_toys]", "'farbe'"]),
        ("[build_dolls]\nrows = 3\n", ["night.toml", "no table [build_toys]", "[build_dolls]"]),
        ("", ["night.toml", "no table [build_toys]", "it has no table"]),
        ("[build_toys\nrows = 3\n", ["night.toml", "not valid TOML", "line 1"]),
        ("[build_toys]\nrows = 0\n", ["--rows", "greater than 0"]),
    ],
)
def test_a_wrong_recipe_is_one_line_and_exit_code_2(recipe, complaint, text, told):
    line = complaint("--recipe", recipe(text))
    assert all(part in line for part in told), line


def test_a_recipe_that_is_no_text_is_one_line_and_exit_code_2(tmp_path, complaint):
    path = tmp_path / "night.toml"
    path.write_bytes("[build_toys]\nteacher = '千问'".encode("gb18030"))
    assert "not UTF-8" in complaint("--recipe", str(path))


def test_the_exit_code_is_the_one_that_main_returns():
    with pytest.raises(SystemExit) as ended:
        run_command(BuildToys, lambda settings: settings.rows, ["--rows", "3"])
    assert ended.value.code == 3


def test_help_is_the_docstring_of_the_command_and_of_every_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        run_command(BuildToys, lambda settings: pytest.fail("help runs nothing"), ["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "Build toy rows for a test." in said
    assert "Share of the answers that are kept; 30 % as a rule. (default: 0.3)" in said
    for name, field in BuildToys.model_fields.items():
        assert f"--{name.replace('_', '-')}" in said
        assert field.description is not None, name
        assert " ".join(field.description.split()) in said


@pytest.mark.parametrize(
    "flags",
    [
        ["--at-once", "3"],
        ["--out", "elsewhere"],
        ["--ledger", "other.sqlite"],
        ["--max-usd", "1"],
        ["--max-total-tokens", "1000"],
        ["--price", "1,2"],
        ["--dry-run"],
        ["--pilot", "5"],
        ["--short"],
    ],
)
def test_what_cannot_change_a_row_is_not_recorded(flags):
    assert parse(BuildToys, flags).for_the_record() == parse(BuildToys, []).for_the_record()


@pytest.mark.parametrize(
    ("flags", "recorded"),
    [
        (["--teacher", "gpt-5@openai"], {"teacher": "gpt-5@openai"}),
        (["--rows", "3"], {"rows": 3}),
        (["--seed", "4"], {"seed": 4}),
        (["--license", "cc-by-4.0"], {"license": "cc-by-4.0"}),
        (["--share", "0.5"], {"share": 0.5}),
        (["--departments", "儿科,骨科"], {"departments": ["儿科", "骨科"]}),
    ],
)
def test_what_can_change_a_row_is_recorded(flags, recorded):
    record = parse(BuildToys, flags).for_the_record()
    assert record == {**parse(BuildToys, []).for_the_record(), **recorded}
    assert record != parse(BuildToys, []).for_the_record()


def test_the_recipe_itself_is_not_recorded_but_what_it_set_is(recipe):
    by_recipe = parse(BuildToys, ["--recipe", recipe("[build_toys]\nrows = 7\n")])
    assert by_recipe.for_the_record() == parse(BuildToys, ["--rows", "7"]).for_the_record()
