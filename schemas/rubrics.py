"""What a judge looks at: criteria with their definitions, and whether all count alike or earlier dimensions decide first.

known_rubric("huatuo").stages        # ((0, 1, 2, 3),): one mean over its four criteria
known_rubric("zhongjing").stages     # ((0, 1, 2), (3, 4, 5), (6, 7, 8)): safety, professionalism, fluency
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from schemas.base import Record
from schemas.settings import InputError, read_toml

BUILT_IN = Path(__file__).with_name("rubrics.toml")

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Criterion(Record):
    """One thing that is marked."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    """Name of its mark in the judge's answer and in the data set."""
    zh: Words
    text: Words
    """What is good and what is bad, as the judge reads it."""
    dimension: str = ""


class Rubric(Record):
    """Criteria, and how their marks make one verdict."""

    name: Words
    by: Literal["mean", "first"]
    """`mean`: the mean over all criteria decides. `first`: the first dimension that tells two answers apart does."""
    dimensions: tuple[Words, ...] = ()
    """The first one decides before the second is looked at."""
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    source: str = ""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        ids = [criterion.id for criterion in self.criteria]
        for what, names in (("criteria", ids), ("dimensions", self.dimensions)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {twice[0]!r} stands there twice")
        for criterion in self.criteria:
            if criterion.dimension and criterion.dimension not in self.dimensions:
                raise ValueError(f"criteria: {criterion.id}: no dimension {criterion.dimension!r} in `dimensions`")
        if self.by == "first":
            self._check_dimensions()
        return self

    def _check_dimensions(self) -> None:
        if not self.dimensions:
            raise ValueError('dimensions: `by = "first"` needs them, in the order in which they decide')
        if homeless := [criterion.id for criterion in self.criteria if not criterion.dimension]:
            raise ValueError(f"criteria: {homeless[0]}: belongs to no dimension, and the first dimension is to decide")
        used = {criterion.dimension for criterion in self.criteria}
        if idle := [dimension for dimension in self.dimensions if dimension not in used]:
            raise ValueError(f"dimensions: {idle[0]!r} has no criterion")

    @property
    def stages(self) -> tuple[tuple[int, ...], ...]:
        """Places of the criteria whose mean decides, stage after stage; a mean over everything is one stage."""
        if self.by == "mean":
            return (tuple(range(len(self.criteria))),)
        return tuple(
            tuple(place for place, criterion in enumerate(self.criteria) if criterion.dimension == dimension)
            for dimension in self.dimensions
        )


def known_rubric(name_or_file: str) -> Rubric:
    """A built-in rubric by its name, or one of a user's TOML file of the same form: FILE, or FILE:NAME where it has several."""
    file, _, wanted = name_or_file.partition(".toml:")
    if wanted:
        return _chosen(Path(f"{file}.toml"), wanted)
    path = Path(name_or_file)
    if path.suffix == ".toml" or path.is_file():
        return _chosen(path, "")
    tables = read_toml(BUILT_IN)
    if name_or_file not in tables:
        raise InputError(f"no rubric is called {name_or_file!r}; known are {', '.join(tables)}, or give a TOML file")
    return _rubric(name_or_file, tables[name_or_file], "rubrics.toml")


def _chosen(path: Path, wanted: str) -> Rubric:
    tables = read_toml(path)
    names = ", ".join(tables) or "none"
    if wanted and wanted not in tables:
        raise InputError(f"{path}: no rubric is called {wanted!r}; it has {names}")
    if not wanted and len(tables) != 1:
        raise InputError(f"{path}: expected one rubric, or FILE:NAME to say which; it has {names}")
    name = wanted or next(iter(tables))
    return _rubric(name, tables[name], str(path))


def _rubric(name: str, table: Any, file: str) -> Rubric:
    if not isinstance(table, Mapping):
        raise InputError(f"{file}: {name}: expected a table [{name}], got {type(table).__name__}")
    try:
        return Rubric.model_validate({"name": name, **table})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join([name, *map(str, first["loc"])])
        raise InputError(f"{file}: {where}: {str(first['msg']).removeprefix('Value error, ')}") from None
