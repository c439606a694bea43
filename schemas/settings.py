"""What a run is told: one pydantic model is one command line, and the string under a field is its `--help`.

Values come from flags, then the recipe (`--recipe NAME|FILE`), then defaults. The environment is not a source: a
`PUSH=…` left in a shell must not push. A wrong value is one line on stderr and exit code 2.
"""

import difflib
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

RECIPES = Path(__file__).resolve().parent.parent / "trainers" / "recipes"
"""Where a recipe given by name is looked up."""

CALLS_OF_A_BATCH = 10_000
ONLY_FLAGS = {"push", "public", "pr"}
"""Settings that no recipe may hold."""

BAD_INPUT = 2
"""Exit code for a wrong flag, file, key or endpoint."""


class InputError(Exception):
    """Something the user gave is wrong; the message names what and where, and becomes one line and exit code 2."""


class Settings(BaseSettings):
    """One command line. Subclass it, give every field a docstring, and name the command in `command`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
    )
    command: ClassVar[str]
    """Module name of the command; also the recipe table it reads."""
    whole: ClassVar[tuple[str, ...]] = ()
    """Repeatable settings whose values may hold commas: a flag is one value, where others are split at commas."""

    recipe: str | None = None
    """Read settings from this recipe: a TOML file, or the name of a published run. Flags win over it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come first on their own; the recipe arrives as init values; nothing else is read."""
        return (init_settings,)


class BuildSettings(Settings):
    """The flags that every builder shares."""

    data_flags: ClassVar[tuple[str, ...]] = ()
    """Settings that name data sets by a path or a name on the Hub."""

    teacher: str | None = None
    """Model that writes, as MODEL[@ENDPOINT], e.g. gpt-5-mini@openai; `rehearsal` needs no key and costs nothing."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server for the teacher; names an endpoint after its host."""
    price: str | None = None
    """Price of the teacher in US dollars per million tokens, as IN,OUT, e.g. 0.25,2."""
    rows: int | None = Field(default=None, gt=0)
    """How many accepted rows to build; without it, what the source gives."""
    out: Path = Path("build/dataset")
    """Folder to write the data set to; it is a Hub repository as it stands."""
    max_usd: float | None = Field(default=None, gt=0)
    """Stop before this much money is spent, over all runs into this folder that share the ledger; doubtful calls count."""
    max_total_tokens: int | None = Field(default=None, gt=0)
    """Stop before this many tokens are used, over all runs into this folder that share the ledger."""
    at_once: int = Field(default=64, gt=0)
    """Calls in flight at most; the teacher may be throttled below this. With --batch, calls of a batch: default 10,000."""
    batch: bool = False
    """Ask through the endpoint's Batch API: about half the price, an answer within a day; stop and run again as you like."""
    seed: int = 0
    """Same seed, same settings and same ledger: same bytes."""
    ledger: Path = Path(".suwen/ledger.sqlite")
    """File that remembers every paid answer; a second run asks nothing again."""
    license: str = ""
    """SPDX id of the licence to release the rows under, e.g. cc-by-4.0; rows without one are not pushed."""
    previous: Path | None = None
    """Release to continue: rows still made keep their split, the version says what changed; default: the one in --out."""
    dry_run: bool = False
    """Print rows, calls, tokens and money before a cent is spent, and stop."""
    pilot: int | None = Field(default=None, gt=1)
    """Build this many rows for real, print what the whole run would cost with an interval, and stop."""
    short: bool = False
    """Release what was reached when the seeds run dry before --rows."""
    push: str | None = None
    """Publish the release in this Hub repository, e.g. org/name; private unless --public. Nothing leaves without it."""
    public: bool = False
    """With --push: make the repository public when it is new, and allow publishing in one that is."""
    pr: bool = False
    """With --push: open a pull request instead of changing main; it is tagged once it is merged."""

    @field_validator("price")
    @classmethod
    def _price_is_two_numbers(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d+(\.\d+)?,\d+(\.\d+)?", value):
            raise ValueError(f"expected IN,OUT in US dollars per million tokens, e.g. 0.25,2, got {value!r}")
        return value

    @property
    def wanted(self) -> int | None:
        """Rows this run is to accept: a pilot's, else --rows; None for all there are."""
        return self.pilot or self.rows

    @property
    def in_flight(self) -> int:
        """Calls in flight at most, however they are asked."""
        return CALLS_OF_A_BATCH if self.batch and "at_once" not in self.model_fields_set else self.at_once

    def for_the_record(self) -> dict[str, Any]:
        """The settings that can change a row, saved with the data so that the build can be run again.

        Of a file its name alone: where it lies on this machine is nobody else's business.
        """
        kept_out = {
            "at_once",
            "batch",
            "out",
            "ledger",
            "dry_run",
            "pilot",
            "previous",
            "short",
            "recipe",
            "push",
            "public",
            "pr",
        }
        record = self.model_dump(mode="json", exclude=kept_out | {"max_usd", "max_total_tokens", "price", "base_url"})
        paths = {name: _without_folders(value) for name, value in self if name in record and _holds_paths(value)}
        named = {
            name: [Path(one).name if Path(one).exists() else one for one in record[name]] for name in self.data_flags
        }
        return record | paths | named


def _holds_paths(value: Any) -> bool:
    return isinstance(value, Path) or (isinstance(value, tuple) and any(isinstance(one, Path) for one in value))


def _without_folders(value: Any) -> Any:
    return value.name if isinstance(value, Path) else [_without_folders(one) for one in value]


S = TypeVar("S", bound=Settings)


def run_command(family: type[S], main: Callable[[S], int], argv: Sequence[str] | None = None) -> None:
    """Parse the command line, run `main`, and exit with its code; bad input is one line and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = main(parse(family, arguments))
    except InputError as wrong:
        print(f"{family.command}: {wrong}", file=sys.stderr)
        code = BAD_INPUT
    raise SystemExit(code)


def parse(family: type[S], arguments: Sequence[str]) -> S:
    """Settings from the flags and the recipe they name; raises InputError with one line on anything wrong."""
    recipe = _recipe_of(arguments)
    values = recipe_table(recipe, family.command) if recipe else {}
    if sends := sorted(ONLY_FLAGS & set(values)):
        raise InputError(f"recipe {recipe}: {sends[0]} belongs on the command line: a file must not make data leave")
    unknown = sorted(set(values) - set(family.model_fields))
    if unknown:
        raise InputError(
            f"recipe {recipe}: [{family.command}] has no setting {unknown[0]!r}{_nearest(unknown[0], family)}"
        )
    rest, whole = _taken_whole(arguments, family.whole)
    try:
        return family(_cli_parse_args=rest, _cli_prog_name=_program(), **values | whole)
    except ValidationError as wrong:
        raise InputError("; ".join(_flag_error(error) for error in wrong.errors())) from None
    except SettingsError as wrong:
        raise InputError(_parser_error(str(wrong), family)) from None


def _taken_whole(arguments: Sequence[str], names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The values of flags that are not split at commas, and all other arguments."""
    flags = {"--" + name.replace("_", "-"): name for name in names}
    rest: list[str] = []
    taken: dict[str, list[str]] = {}
    waiting = iter(arguments)
    for argument in waiting:
        flag, equals, value = argument.partition("=")
        if flag not in flags or (not equals and (value := next(waiting, "")) == ""):
            rest.append(argument)
        else:
            taken.setdefault(flags[flag], []).append(value)
    return rest, taken


def _program() -> str:
    """How this command was called, for its usage line."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {Path(sys.argv[0]).name}"


def recipe_path(recipe: str) -> Path:
    """The file a recipe flag means: a path, or a name under trainers/recipes."""
    path = Path(recipe)
    if path.suffix == ".toml" or path.exists():
        return path
    named = RECIPES / f"{recipe}.toml"
    if not named.exists():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise InputError(f"--recipe: no file and no recipe is named {recipe!r}; known recipes: {known}")
    return named


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file, or an InputError that names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as wrong:
        raise InputError(f"{path}: {wrong.strerror or wrong}") from None
    except UnicodeDecodeError as wrong:
        raise InputError(f"{path}: not UTF-8 text (byte {wrong.start})") from None
    except tomllib.TOMLDecodeError as wrong:
        raise InputError(f"{path}: not valid TOML: {wrong}") from None


def recipe_table(recipe: str, command: str) -> dict[str, Any]:
    """The command's own table of a recipe; a recipe without one is bad input."""
    path = recipe_path(recipe)
    tables = read_toml(path)
    table = tables.get(command)
    if not isinstance(table, dict):
        found = ", ".join(f"[{name}]" for name in tables) or "no table"
        raise InputError(f"recipe {path}: no table [{command}]; it has {found}")
    return {name.replace("-", "_"): value for name, value in table.items()}


def _recipe_of(arguments: Sequence[str]) -> str | None:
    named = None  # the last one counts, as for every flag
    for argument, following in zip_longest(arguments, arguments[1:]):
        if argument == "--recipe":
            named = following
        elif argument.startswith("--recipe="):
            named = argument.removeprefix("--recipe=")
    return named


def _flag_error(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message  # of several settings together; it names them
    flag = "--" + str(error["loc"][0]).replace("_", "-")
    got = "" if "got" in message or error["type"] == "missing" else f", got {error['input']!r}"
    return f"{flag}: {message}{got}"


def _parser_error(message: str, family: type[Settings]) -> str:
    text = " ".join(message.removeprefix("error parsing CLI: ").split())
    unknown = re.search(r"unrecognized arguments: (--?[\w-]+)", text)
    return text + (_nearest(unknown[1], family) if unknown else "")


def _nearest(name: str, family: type[Settings]) -> str:
    flags = ["--" + field.replace("_", "-") for field in family.model_fields]
    close = difflib.get_close_matches("--" + name.lstrip("-").replace("_", "-"), flags, n=1)
    return f"; did you mean {close[0]}?" if close else ""
