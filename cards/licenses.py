"""Which licence a model can state, from what its base and its data sets state: the strictest that follows, or that none does.

No legal advice: ids are compared, not texts. Where ids do not settle it, the verdict says so instead of guessing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Kind = Literal[
    "public domain", "permissive", "copyleft", "non-commercial", "own terms", "research only", "no derivatives", "unknown"
]  # fmt: skip

ASKS: dict[Kind, str] = {
    "public domain": "nothing",
    "permissive": "its notice and the names of its authors are kept",
    "copyleft": "what is made from it carries the same licence",
    "non-commercial": "no commercial use",
    "own terms": "the terms of its publisher, which go with everything made from it",
    "research only": "research, and nothing else",
    "no derivatives": "nothing made from it is passed on",
    "unknown": "nobody has said",
}
"""What licences of a kind ask for, in a few words."""

KNOWN: dict[Kind, tuple[str, ...]] = {
    "public domain": ("cc0-1.0", "pddl", "unlicense", "wtfpl"),
    # Those that ask for the most come first: without a base the first of them is taken.
    "permissive": (
        *("cc-by-4.0", "cc-by-3.0", "cc-by-2.5", "cc-by-2.0", "odc-by", "etalab-2.0"),
        *("apache-2.0", "cdla-permissive-2.0", "cdla-permissive-1.0", "bsl-1.0", "ecl-2.0", "afl-3.0", "artistic-2.0"),
        *("bsd-3-clause-clear", "bsd-3-clause", "bsd-2-clause", "bsd", "ms-pl", "ncsa", "zlib", "isc", "mit"),
    ),
    "copyleft": (
        *("agpl-3.0", "gpl-3.0", "gpl-2.0", "gpl", "lgpl-3.0", "lgpl-2.1", "lgpl", "mpl-2.0", "epl-2.0", "epl-1.0"),
        *("eupl-1.2", "eupl-1.1", "osl-3.0", "gfdl", "cc-by-sa-4.0", "cc-by-sa-3.0", "odbl", "cdla-sharing-1.0"),
    ),
    "non-commercial": (
        *("cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-2.0", "cc-by-nc-4.0", "cc-by-nc-3.0", "cc-by-nc-2.0"),
    ),
    "own terms": (
        *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "grok2-community"),
        *("openrail", "openrail++", "bigscience-openrail-m", "creativeml-openrail-m", "bigcode-openrail-m"),
        *("bigscience-bloom-rail-1.0", "deepfloyd-if-license", "other"),
    ),
    "research only": ("apple-amlr", "intel-research", "h-research", "fair-noncommercial-research-license"),
    "no derivatives": ("cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-nd-3.0"),
    "unknown": ("unknown",),
}
"""Ids of the Hub, by what they ask for. An id that is not here has terms of its own."""

NAMELESS = ("", "none", "noassertion")
GIVES_WAY = {
    ("cc-by-sa-3.0", "cc-by-sa-4.0"),  # BY-SA 3.0, 4(b): a later version with the same elements
    ("cc-by-sa-4.0", "gpl-3.0"),  # declared one-way compatible by Creative Commons in 2015
    ("lgpl-2.1", "gpl-2.0"),  # LGPL 2.1, 3: the GNU GPL, version 2 or later, instead
    ("lgpl-2.1", "gpl-3.0"),
    ("lgpl-3.0", "gpl-3.0"),  # LGPL 3 is GPL 3 with permissions that may be taken away
    ("gpl-3.0", "agpl-3.0"),  # GPL 3, 13
    ("cc-by-nc-2.0", "cc-by-nc-3.0"),  # without share-alike, what is made from it may be held more strictly
    ("cc-by-nc-2.0", "cc-by-nc-4.0"),
    ("cc-by-nc-3.0", "cc-by-nc-4.0"),
    *((f"cc-by-nc-{old}", f"cc-by-nc-sa-{new}") for old in ("2.0", "3.0", "4.0") for new in ("3.0", "4.0")),
    ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0"),  # BY-NC-SA, 4(b): a later version with the same elements
    ("cc-by-nc-sa-2.0", "cc-by-nc-sa-4.0"),
    ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
"""(a, b): what holds material under a may be passed on under b."""
CLASH = ("apache-2.0", "gpl-2.0")  # its patent clause is a further restriction in the sense of GPL 2, 6


class Verdict(NamedTuple):
    """The licence a model can state, and how that follows."""

    license: str
    """Id of the Hub; `other` with a `name` where no id is true, `unknown` where an input states nothing."""
    why: tuple[str, ...]
    """Sentences for the card."""
    name: str = ""
    """With `other`: what it is called, in letters that the Hub takes."""
    settled: bool = True
    """False when ids leave open whether and how the model may be passed on: somebody has to read the texts."""


def known_as(license: str) -> str:
    """The Hub's way to write a licence, whatever its case and SPDX suffix; `unknown` when nothing is stated."""
    id = re.sub(r"(?<=\d)(-only|-or-later|\+)$", "", license.strip().lower())
    return "unknown" if id in NAMELESS else id


def kind_of(license: str) -> Kind:
    """What a licence asks for; an id that is not known here has terms of its own."""
    id = known_as(license)
    for kind, ids in KNOWN.items():
        if id in ids:
            return kind
    words = set(re.split(r"[^a-z]+", id))
    if "nd" in words:
        return "no derivatives"
    return "research only" if "research" in words else "own terms"


def combined(base: str | None, data: Sequence[str]) -> Verdict:
    """The licence of a model from what its base states (None: made on the spot, so no base) and what its rows state."""
    inputs = list(dict.fromkeys(map(known_as, data if base is None else [base, *data])))  # the base first
    if not inputs:
        return Verdict("unknown", ("Nothing is named that it was made from.",), settled=False)
    of = {kind: [id for id in inputs if kind_of(id) == kind] for kind in KNOWN}
    if forbidden := of["no derivatives"]:
        said = f"{_ids(forbidden)} lets nobody pass on what is made from it. Whether a model is, has to be asked."
        return Verdict("other", (said, *_unstated(of)), "no-derivatives", settled=False)
    if narrow := of["research only"]:
        said = f"{_ids(narrow)} allows research and nothing else, and so does the model."
        return Verdict("other", (said, *_unstated(of)), _slug(narrow), settled=False)
    if of["unknown"]:
        return Verdict("unknown", _unstated(of), settled=False)
    if of["own terms"]:
        return _with_own_terms(of)
    if of["copyleft"] or of["non-commercial"]:
        return _one_that_takes_all(of)
    return _permissive(of, None if base is None else inputs[0])


def _unstated(of: Mapping[Kind, Sequence[str]]) -> tuple[str, ...]:
    """A sentence when an input states nothing."""
    said = "An input states no licence; until its owner does, nobody can say under which one the model may be used."
    return (said,) * bool(of["unknown"])


def _with_own_terms(of: Mapping[Kind, Sequence[str]]) -> Verdict:
    own, further = of["own terms"], [*of["copyleft"], *of["non-commercial"]]
    strangers = [id for id in own if id not in KNOWN["own terms"] or id == "other"]
    unread = tuple(f"`{id}` is no id whose terms are known here: its text has to be read." for id in strangers)
    kept = f"{_ids(own)}: these terms go with everything made from it."
    if len(own) == 1 and not further:
        license = "other" if strangers else own[0]
        return Verdict(license, (kept, *unread), _slug(own) if strangers else "", settled=not strangers)
    added = f"They hold together with {_ids(further)}; no single id says so." if further else "No single id says so."
    clash = ("Copyleft takes no further terms beside its own.",) * bool(of["copyleft"])
    settled = len(own) == 1 and not strangers and not clash
    return Verdict("other", (kept, added, *clash, *unread), _slug([*own, *further]), settled)


def _one_that_takes_all(of: Mapping[Kind, Sequence[str]]) -> Verdict:
    """The one copyleft or non-commercial licence that all others give way to, when there is one."""
    strict = [*of["copyleft"], *of["non-commercial"]]
    takers = [id for id in strict if all(other == id or (other, id) in GIVES_WAY for other in strict)]
    clash = CLASH[0] in of["permissive"] and takers == [CLASH[1]]
    if not takers or clash:
        said = f"{_ids([CLASH[0]] * clash + strict)} cannot be met at once: each asks for what another forbids."
        return Verdict("other", (said,), "conflicting-terms", settled=False)
    taken = takers[0]
    return Verdict(
        taken, (f"`{taken}` is the strictest of the inputs ({ASKS[kind_of(taken)]}); it takes the others in.",)
    )


def _permissive(of: Mapping[Kind, Sequence[str]], base: str | None) -> Verdict:
    ids = of["permissive"] or of["public domain"]
    if base in ids:
        said = f"`{base}` of the base stays: no data set asks for more than its notice and the names of its authors."
        return Verdict(str(base), (said,))
    order = [id for kind in ("permissive", "public domain") for id in KNOWN[kind]]
    taken = min(ids, key=order.index)
    return Verdict(taken, (f"`{taken}` asks for the most of what the inputs ask ({ASKS[kind_of(taken)]}).",))


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(f"`{id}`" for id in ids)


def _slug(ids: Sequence[str]) -> str:
    """A name such as llama3.1-and-cc-by-nc-4.0; the Hub takes small letters, digits, points and hyphens."""
    if "other" in ids:
        return "terms-of-its-inputs"
    return "-and-".join(re.sub(r"[^a-z0-9.]+", "-", id.removeprefix("licenseref-")).strip("-") for id in ids)
