"""A knowledge graph as its publishers write it, and the facts it holds about some names.

    疾病 偏头痛 症状 疾病症状 恶心                               kinds beside the names, a fact a line
    偏头痛<TAB>症状<TAB>恶心                                     TSV, CSV, or three words a line
    {"head": "偏头痛", "relation": "症状", "tail": "恶心"}        JSON Lines or one array; also subject/predicate/object, h/r/t
    {"中心词": "偏头痛", "症状": ["恶心"], "检查": ["头颅CT"]}    an entity with its relations, as CMeKG and its children export it
    {"nodes": [{"id": 1, "name": "偏头痛"}, …], "links": [{"source": 1, "target": 2, "relation": "症状"}]}

A folder is read with the folders in it. Its files without a single fact (lists of entities, notes) are passed over and
named; what else cannot be read is kept under `rejected` with its place.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from builders.sources.consultations import Broken
from builders.sources.formats.encodings import codec_of, text_lines
from schemas.settings import InputError

SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl", ".ndjson", ".json")
HEADS = ("head", "subject", "h", "s", "source", "entity1", "start", "主体", "头实体")
RELATIONS = ("relation", "predicate", "r", "p", "rel", "type", "label", "relation_name", "关系")
TAILS = ("tail", "object", "t", "o", "target", "entity2", "end", "客体", "尾实体")
NAMES = ("中心词", "name", "名称", "疾病名称", "label", "title")
LINKS = ("links", "edges", "relations", "relationships")
LONGEST_NAME = 80
"""Characters; what is longer is a text about something, not the name of anything."""


class Triple(NamedTuple):
    """One fact."""

    head: str
    relation: str
    tail: str

    def __str__(self) -> str:
        return f"{self.head} {self.relation} {self.tail}"


class Graph:
    """Facts, each once, in the order of their files."""

    def __init__(
        self,
        triples: Iterable[Triple],
        *,
        rejected: Sequence[Broken] = (),
        repeated: int = 0,
        passed_over: Sequence[str] = (),
    ) -> None:
        self.triples = tuple(dict.fromkeys(triples))
        self.rejected = tuple(rejected)
        """Rows that hold no fact, with their place and why."""
        self.repeated = repeated
        """Facts that were there before."""
        self.passed_over = tuple(passed_over)
        """Files of the folder that hold no fact at all."""
        self._about: dict[str, list[Triple]] = {}
        for triple in self.triples:
            self._about.setdefault(triple.head, []).append(triple)

    @classmethod
    def read(cls, path: Path) -> "Graph":
        """A file, or every file of a folder; raises InputError when there is no fact in it."""
        triples: dict[Triple, None] = {}
        rejected: list[Broken] = []
        passed_over: list[str] = []
        repeated = 0
        for file in _files(path):
            found, broken = _read(file)
            if not found:
                passed_over.append(str(file))
            else:
                before = len(triples)
                triples.update(dict.fromkeys(found))
                repeated += before + len(found) - len(triples)
                rejected += broken
            first = broken[0] if broken else None
            if not found and file == path:
                raise InputError(f"{first.place}: {first.reason}" if first else f"{path}: empty")
        if not triples:
            raise InputError(f"{path}: no file in it holds facts; read were {', '.join(passed_over) or 'none'}")
        return cls(triples, rejected=rejected, repeated=repeated, passed_over=passed_over)

    @property
    def heads(self) -> Iterable[str]:
        """Everything a fact is about, in order."""
        return self._about.keys()

    def of(self, head: str) -> Sequence[Triple]:
        """All facts about a name."""
        return self._about.get(head, ())

    def tails(self, head: str, relation: str) -> list[str]:
        """What stands in one relation to a name, in order."""
        return [triple.tail for triple in self.of(head) if triple.relation == relation]

    def facts_about(self, names: Iterable[str], *, most: int) -> list[Triple]:
        """The facts that bear on a text with these names, most telling first; the same names give the same list.

        First the facts between two of the names. Then what is known of each, the names and their relations taking turns,
        so that one well-described disease does not crowd out the others.
        """
        named = set(names)
        about = [self.of(name) for name in sorted(named)]
        between = [triple for facts in about for triple in facts if triple.tail in named]
        rest = _in_turns([_by_relation(triple for triple in facts if triple.tail not in named) for facts in about])
        return list(islice(chain(between, rest), most))


def _by_relation(facts: Iterable[Triple]) -> list[Triple]:
    relations: dict[str, list[Triple]] = {}
    for fact in facts:
        relations.setdefault(fact.relation, []).append(fact)
    return list(_in_turns(list(relations.values())))


def _in_turns(lists: Sequence[Sequence[Triple]]) -> Iterator[Triple]:
    return (fact for together in zip_longest(*lists) for fact in together if fact is not None)


class _Found(NamedTuple):
    triples: list[Triple]
    rejected: list[Broken]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _read(path: Path) -> _Found:
    if path.suffix.lower() == ".json":
        return _whole_json(path)
    lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(text_lines(path, codec_of(path)), 1))
    written = [(number, line) for number, line in lines if line and not line.isspace()]
    if written and written[0][1].lstrip().startswith(("{", "[")):
        return _json_lines(path, written)
    return _plain_lines(path, written)


def _plain_lines(path: Path, lines: Sequence[tuple[int, str]]) -> _Found:
    """Columns by comma, tab or space. With spaces in a name, the relation and its kind tell where the tail begins."""
    found = _Found([], [])
    suffix = path.suffix.lower()
    separator = "," if suffix == ".csv" else "\t" if suffix == ".tsv" or _tabbed(lines) else " "
    rows = list(_columns(lines, separator))
    kinds = Counter((cells[2], cells[3]) for _, cells in rows if len(cells) == 5)
    for number, cells in rows:
        triple = _of_cells(cells, kinds)
        if triple is None:
            reason = f"expected HEAD, RELATION, TAIL, got {len(cells)} columns"
            found.rejected.append(Broken(f"{path}: line {number}", reason, separator.join(cells)))
        elif number > lines[0][0] or not _is_header(triple):
            found.triples.append(triple)
    if len(found.triples) < len(found.rejected):
        found.triples.clear()  # names of two spaces, in a list of names, are no facts
    return found


def _columns(lines: Sequence[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    if separator == ",":
        numbers = [number for number, _ in lines]
        for at, cells in enumerate(csv.reader(line for _, line in lines)):
            yield numbers[min(at, len(numbers) - 1)], [cell.strip() for cell in cells]
    else:
        for number, line in lines:
            yield number, [cell.strip() for cell in line.split(separator)] if separator == "\t" else line.split(" ")


def _tabbed(lines: Sequence[tuple[int, str]]) -> bool:
    return bool(lines) and lines[0][1].count("\t") >= 2


def _of_cells(cells: Sequence[str], kinds: Mapping[tuple[str, str], int]) -> Triple | None:
    if len(cells) == 5:
        return Triple(
            intern(cells[1]), intern(cells[2]), intern(cells[4])
        )  # names recur: held once, they halve the memory
    if len(cells) == 3:
        return Triple(*cells) if all(cells) else None
    return _with_spaces(cells, kinds)


def _is_header(triple: Triple) -> bool:
    head, relation, tail = (cell.lower() for cell in triple)
    return head in HEADS and relation in RELATIONS and tail in TAILS


def _with_spaces(cells: Sequence[str], kinds: Mapping[tuple[str, str], int]) -> Triple | None:
    """A line with more than five words: it splits where a relation and its kind stand that other lines have."""
    for at in range(2, len(cells) - 2):
        if (cells[at], cells[at + 1]) in kinds:
            return Triple(" ".join(cells[1:at]), cells[at], " ".join(cells[at + 2 :]).strip())
    return None


def _json_lines(path: Path, lines: Sequence[tuple[int, str]]) -> _Found:
    if lines[0][1].lstrip().startswith("["):
        return _whole_json(path)
    found = _Found([], [])
    for number, line in lines:
        where = f"{path}: line {number}"
        try:
            _take(json.loads(line), where, found)
        except json.JSONDecodeError as wrong:
            found.rejected.append(Broken(where, f"not JSON: {wrong.msg}", line))
    return found


def _whole_json(path: Path) -> _Found:
    """One array, one object, or JSON Lines under the wrong name."""
    text = "".join(text_lines(path, codec_of(path)))
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as wrong:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) > 1 and lines[0][1].rstrip().endswith("}"):
            return _json_lines(path, lines)
        raise InputError(f"{path}: line {wrong.lineno}: not JSON: {wrong.msg}") from None
    found = _Found([], [])
    for number, value in enumerate(whole if isinstance(whole, list) else [whole], 1):
        _take(value, f"{path}: item {number}", found)
    return found


def _take(value: Any, where: str, found: _Found) -> None:
    """The facts of one JSON value: a triple, a graph of nodes and links, an entity, or entities by their names."""
    if isinstance(value, list) and len(value) == 3 and all(isinstance(cell, str) for cell in value):
        value = dict(zip(("head", "relation", "tail"), value, strict=True))
    if not isinstance(value, dict):
        found.rejected.append(Broken(where, f"expected an object, got {type(value).__name__}", _raw(value)))
    elif "nodes" in value and (links := _first(value, LINKS)):
        _take_links(value["nodes"], links, where, found)
    elif triple := _triple(value):
        found.triples.append(triple)
    elif name := _name(value):
        _take_entity(name, value, where, found)
    elif value and all(isinstance(relations, dict) for relations in value.values()):
        for head, relations in value.items():
            _take_entity(head, relations, f"{where}: {head}", found)
    else:
        found.rejected.append(Broken(where, "no head, relation and tail in it", _raw(value)))


def _triple(value: Mapping[str, Any]) -> Triple | None:
    cells = [_first(value, keys) for keys in (HEADS, RELATIONS, TAILS)]
    texts = [cell.strip() if isinstance(cell, str) else "" for cell in cells]
    return Triple(*texts) if all(texts) else None


def _take_links(nodes: Any, links: Any, where: str, found: _Found) -> None:
    names = {str(node.get("id", number)): _name(node) or str(node.get("id", "")) for number, node in enumerate(nodes)}
    for number, link in enumerate(links, 1):
        ends = [_first(link, keys) for keys in (HEADS, TAILS)]
        head, tail = ("" if end is None else names.get(str(end), str(end)) for end in ends)
        relation = _first(link, RELATIONS)
        if head and tail and isinstance(relation, str) and relation:
            found.triples.append(Triple(head, relation, tail))
        else:
            found.rejected.append(Broken(f"{where}: link {number}", "no source, relation and target in it", _raw(link)))


def _take_entity(head: str, relations: Mapping[str, Any], where: str, found: _Found) -> None:
    for relation, value in relations.items():
        tails = value if isinstance(value, list) else [value]
        for tail in tails:
            if not isinstance(tail, str) or not tail.strip() or tail == head or relation in ("class", "_id", "id"):
                continue  # numbers, nested objects and the entity's own name state no fact
            if len(tail) > LONGEST_NAME:
                found.rejected.append(Broken(f"{where}: {relation}", "a text, not a name", tail))
            else:
                found.triples.append(Triple(head, relation, tail.strip()))


def _name(value: Mapping[str, Any]) -> str:
    named = _first(value, NAMES)
    return named.strip() if isinstance(named, str) else ""


def _first(value: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((value[key] for key in keys if key in value), None)


def _raw(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
