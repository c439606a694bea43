"""The closed vocabulary of the clinic: departments on two levels, roles, intents. Names resolve in either language.

Built in: China's catalogue of clinical departments (诊疗科目), its usual names in hospitals and in real data, the people
who would use a medical model, and the ten intents of KUAKE-QIC. A user's TOML file of the same form adds to it.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import StringConstraints, ValidationError

from schemas.base import Record
from schemas.settings import InputError, read_toml

BUILT_IN = Path(__file__).with_name("taxonomy.toml")
NO_ROLE = "none"


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Term(Record):
    """One entry: an English id, a Chinese name, and every other name it goes by."""

    id: Name
    zh: Name
    aliases: tuple[Name, ...] = ()


class Department(Term):
    """A clinical department; `parent` is the department one level up."""

    code: str = ""
    """Number in the catalogue; empty for departments that hospitals have and the catalogue has not."""
    parent: str = ""


class Role(Term):
    """Somebody who would use a medical language model."""

    wants: str
    """What for."""
    never_in: tuple[str, ...] = ()
    """Ids of departments where nobody of this role is found."""


class Intent(Term):
    """What a patient's question is after."""

    about: str


class Taxonomy(Record):
    """All entries by id, and what real data calls them."""

    version: str
    departments: dict[str, Department]
    roles: dict[str, Role]
    intents: dict[str, Intent]
    presets: dict[str, tuple[str, ...]]
    """Named lists of departments, e.g. `huatuo`: the twenty of HuatuoGPT's multi-turn test set."""
    unmapped: dict[str, str]
    """Strings that stand where a department should and are none, with the reason."""
    unmapped_roles: dict[str, str]

    def department(self, name: str) -> str:
        """Id of the department a name means; raises InputError with the nearest names when it means none."""
        return _resolve("department", name, self.departments, self.unmapped)

    def known_department(self, name: str) -> str:
        """Id of the department a name means, or the name as it is: real data has names that nobody has listed."""
        return _names("departments", tuple(self.departments.values())).get(fold(name), name.strip())

    def role(self, name: str) -> str:
        """Id of the role a name means; raises InputError when it means none."""
        return _resolve("role", name, self.roles, self.unmapped_roles)

    def select_departments(self, names: Iterable[str]) -> tuple[str, ...]:
        """Ids of the departments a flag names: `all`, a preset, or any names; in the taxonomy's own order."""
        chosen: set[str] = set()
        for name in names:
            if name == "all":
                chosen.update(self.departments)
            elif name in self.presets:
                chosen.update(self.presets[name])
            else:
                chosen.add(self.department(name))
        return tuple(id for id in self.departments if id in chosen)

    def select_roles(self, names: Iterable[str]) -> tuple[str, ...]:
        """Ids of the roles a flag names, or `all`, in the taxonomy's own order."""
        chosen = {id for name in names for id in (self.roles if name == "all" else (self.role(name),))}
        return tuple(id for id in self.roles if id in chosen)


def load_taxonomy(extension: Path | None = None) -> Taxonomy:
    """The built-in taxonomy, with a user's file on top; raises InputError naming the file and the entry."""
    tables = read_toml(BUILT_IN)
    if extension is not None:
        tables = _merged(tables, read_toml(extension), extension)
    return _checked(tables, extension or BUILT_IN)


def fold(name: str) -> str:
    """A name as it is compared: NFKC, lower case, no space around it."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _merged(built_in: dict[str, Any], extension: dict[str, Any], path: Path) -> dict[str, Any]:
    """New entries are added; an entry with a known id adds its aliases and replaces its other fields."""
    unknown = set(extension) - set(built_in)
    if unknown:
        raise InputError(f"{path}: no section [{min(unknown)}]; a taxonomy has {', '.join(sorted(built_in))}")
    merged = {**built_in, "version": f"{built_in['version']}+{extension.get('version', 'user')}"}
    for section, entries in extension.items():
        if section == "version":
            continue
        if not isinstance(entries, dict):
            raise InputError(f"{path}: {section}: expected a table, got {type(entries).__name__}")
        merged[section] = {**built_in[section], **entries}
        for id in entries.keys() & built_in[section].keys():
            merged[section][id] = _extended(built_in[section][id], entries[id], f"{path}: {section}.{id}")
    return merged


def _extended(known: Any, entry: Any, where: str) -> Any:
    """A known entry with a user's fields over it, and both their aliases."""
    if not (isinstance(known, dict) and isinstance(entry, dict)):
        return entry
    aliases = entry.get("aliases", [])
    if not isinstance(aliases, list):
        raise InputError(f"{where}.aliases: expected a list, got {type(aliases).__name__}")
    return {**known, **entry, "aliases": [*known.get("aliases", []), *aliases]}


def _checked(tables: dict[str, Any], path: Path) -> Taxonomy:
    tables = {**tables, **{section: _folded(tables[section]) for section in ("unmapped", "unmapped_roles")}}
    named = {
        section: _with_ids(tables[section], f"{path}: {section}") for section in ("departments", "roles", "intents")
    }
    try:
        taxonomy = Taxonomy.model_validate({**tables, **named})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for department in taxonomy.departments.values():
        parent = taxonomy.departments.get(department.parent)
        if department.parent and (parent is None or parent.parent):
            raise InputError(
                f"{path}: departments.{department.id}: parent {department.parent!r} is no top-level department"
            )
    listed = {f"presets.{name}": ids for name, ids in taxonomy.presets.items()}
    listed |= {f"roles.{role.id}: never_in": role.never_in for role in taxonomy.roles.values()}
    for where, ids in listed.items():
        if unknown := [id for id in ids if id not in taxonomy.departments]:
            raise InputError(f"{path}: {where}: no department {unknown[0]!r}")
    _names("departments", tuple(taxonomy.departments.values()), path)
    _names("roles", tuple(taxonomy.roles.values()), path)
    _names("intents", tuple(taxonomy.intents.values()), path)
    return taxonomy


def _folded(reasons: dict[str, Any]) -> dict[str, Any]:
    return {fold(name): reason for name, reason in reasons.items()}


def _with_ids(entries: dict[str, Any], where: str) -> dict[str, Any]:
    for id, entry in entries.items():
        if not isinstance(entry, dict):
            raise InputError(f"{where}.{id}: expected a table, got {type(entry).__name__}")
    return {id: {"id": id, **entry} for id, entry in entries.items()}


@cache
def _names(what: str, terms: tuple[Term, ...], path: Path | None = None) -> Mapping[str, str]:
    """Every name of every term, folded, to its id; two terms may not share a name."""
    names: dict[str, str] = {}
    for term in terms:
        for name in (term.id, term.zh, *term.aliases):
            owner = names.setdefault(fold(name), term.id)
            if owner != term.id:
                raise InputError(f"{path}: {what}.{term.id}: the name {name!r} already belongs to {owner}")
    return names


def _resolve(what: str, name: str, terms: Mapping[str, Term], unmapped: Mapping[str, str]) -> str:
    import difflib

    names = _names(f"{what}s", tuple(terms.values()))
    found = names.get(fold(name))
    if found is not None:
        return found
    if fold(name) in unmapped:
        raise InputError(f"{name!r} is no {what}: {unmapped[fold(name)]}")
    close = difflib.get_close_matches(fold(name), names, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(close)}?" if close else ""
    raise InputError(f"no {what} is called {name!r}{hint}")
