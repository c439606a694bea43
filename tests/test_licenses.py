"""A model states the strictest licence that follows from its inputs, and says so where none follows."""

import re

import pytest

from cards.licenses import ASKS, KNOWN, combined, kind_of, known_as

# Worked by hand: base (None: made on the spot), licences of the rows, what the model can state, name, settled.
CASES = [
    # What only asks for notices leaves the base's licence alone.
    ("apache-2.0", ["cc-by-4.0"], "apache-2.0", "", True),
    ("mit", ["apache-2.0", "cc0-1.0"], "mit", "", True),
    ("apache-2.0", [], "apache-2.0", "", True),
    ("apache-2.0", ["Apache-2.0", "CC0-1.0"], "apache-2.0", "", True),
    # Without a base, or with one that asks for nothing, the most demanding of the rows.
    (None, ["mit", "apache-2.0"], "apache-2.0", "", True),
    (None, ["apache-2.0", "cc-by-4.0", "cc0-1.0"], "cc-by-4.0", "", True),
    (None, ["cc0-1.0"], "cc0-1.0", "", True),
    ("cc0-1.0", ["mit"], "mit", "", True),
    # Share-alike and copyleft take what is made from them.
    ("apache-2.0", ["cc-by-sa-4.0"], "cc-by-sa-4.0", "", True),
    ("gpl-3.0", ["cc-by-4.0"], "gpl-3.0", "", True),
    ("apache-2.0", ["GPL-3.0-or-later"], "gpl-3.0", "", True),
    ("gpl-3.0", ["cc-by-sa-4.0"], "gpl-3.0", "", True),  # one-way compatible, declared in 2015
    ("lgpl-3.0", ["gpl-3.0"], "gpl-3.0", "", True),
    ("gpl-3.0", ["agpl-3.0-only"], "agpl-3.0", "", True),
    ("mit", ["cc-by-sa-3.0", "cc-by-sa-4.0"], "cc-by-sa-4.0", "", True),
    # Copyleft of two kinds, and copyleft beside what it forbids, cannot both be kept.
    ("agpl-3.0", ["cc-by-sa-4.0"], "other", "conflicting-terms", False),
    ("gpl-2.0", ["gpl-3.0"], "other", "conflicting-terms", False),
    ("gpl-2.0", ["apache-2.0"], "other", "conflicting-terms", False),
    ("gpl-3.0", ["apache-2.0"], "gpl-3.0", "", True),
    ("gpl-3.0", ["cc-by-nc-4.0"], "other", "conflicting-terms", False),
    ("apache-2.0", ["cc-by-sa-4.0", "cc-by-nc-4.0"], "other", "conflicting-terms", False),
    # Non-commercial stays non-commercial.
    ("apache-2.0", ["cc-by-4.0", "cc-by-nc-4.0"], "cc-by-nc-4.0", "", True),
    ("cc-by-nc-4.0", ["mit"], "cc-by-nc-4.0", "", True),
    ("apache-2.0", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0", "", True),
    ("mit", ["cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"], "cc-by-nc-sa-4.0", "", True),
    # Nothing made from it may be passed on: never called anything but other.
    ("apache-2.0", ["cc-by-nd-4.0"], "other", "no-derivatives", False),
    ("cc-by-nc-nd-4.0", ["", "mit"], "other", "no-derivatives", False),
    ("mit", ["CC-BY-NC-ND-2.5"], "other", "no-derivatives", False),
    # Licences of models stay with the model, and the terms of the rows come on top.
    ("llama3.1", ["apache-2.0", "cc-by-4.0"], "llama3.1", "", True),
    ("bigscience-bloom-rail-1.0", ["cc0-1.0"], "bigscience-bloom-rail-1.0", "", True),
    ("openrail++", ["mit"], "openrail++", "", True),
    ("apache-2.0", ["gemma"], "gemma", "", True),
    ("llama3.1", ["cc-by-nc-4.0"], "other", "llama3.1-and-cc-by-nc-4.0", True),
    ("llama2", ["cc-by-sa-4.0"], "other", "llama2-and-cc-by-sa-4.0", False),
    ("llama3", ["gemma"], "other", "llama3-and-gemma", False),
    ("qwen", ["mit"], "other", "qwen", False),
    ("other", ["mit"], "other", "terms-of-its-inputs", False),
    ("Baichuan 2 Community", ["mit"], "other", "baichuan-2-community", False),
    # Research only, and nothing stated.
    ("apache-2.0", ["LicenseRef-research-only"], "other", "research-only", False),
    ("qwen-research", ["cc-by-4.0"], "other", "qwen-research", False),
    ("apache-2.0", [""], "unknown", "", False),
    ("", ["mit"], "unknown", "", False),
    ("apache-2.0", ["cc-by-nc-4.0", "unknown"], "unknown", "", False),
    ("mit", ["LicenseRef-research-only", ""], "other", "research-only", False),
    (None, [], "unknown", "", False),
]


@pytest.mark.parametrize(("base", "data", "license", "name", "settled"), CASES)
def test_the_strictest_that_follows(base, data, license, name, settled):
    verdict = combined(base, data)
    assert (verdict.license, verdict.name, verdict.settled) == (license, name, settled)
    assert all(why.endswith(".") for why in verdict.why)
    assert verdict.why


def test_the_order_of_the_rows_changes_nothing():
    for base, data, license, _, settled in CASES:
        backwards = combined(base, data[::-1])
        assert (backwards.license, backwards.settled) == (license, settled), (base, data)


@pytest.mark.parametrize("strict", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "LicenseRef-research-only", ""])
def test_no_base_makes_strict_rows_free(strict):
    bases = [id for kind in ("public domain", "permissive", "copyleft", "own terms") for id in KNOWN[kind]]
    stated = {combined(base, ["mit", strict]).license for base in bases}
    assert stated <= {"other", "unknown", strict}


def test_the_why_names_what_decided():
    assert "`cc-by-sa-4.0` is the strictest of the inputs" in combined("apache-2.0", ["cc-by-sa-4.0"]).why[0]
    assert "`gpl-3.0`, `cc-by-nc-4.0` cannot be met at once" in combined("gpl-3.0", ["cc-by-nc-4.0"]).why[0]
    assert "Copyleft takes no further terms beside its own." in combined("llama2", ["gpl-3.0"]).why
    both = combined("cc-by-nd-4.0", [""]).why
    assert "`cc-by-nd-4.0`" in both[0]
    assert "states no licence" in both[1]


def test_a_name_has_only_letters_the_hub_takes():
    for base, data, *_ in CASES:
        assert re.fullmatch(r"[a-z0-9.-]*", combined(base, data).name)


def test_ids_are_read_as_people_write_them():
    assert [known_as(id) for id in (" MIT ", "AGPL-3.0-only", "LGPL-2.1+", "NOASSERTION", "openrail++")] == [
        "mit",
        "agpl-3.0",
        "lgpl-2.1",
        "unknown",
        "openrail++",
    ]
    assert kind_of("CC-BY-ND-3.0") == "no derivatives"
    assert kind_of("LicenseRef-research-only") == "research only"
    assert kind_of("yi-license") == "own terms"


def test_every_kind_says_what_it_asks_for_and_no_id_is_of_two_kinds():
    assert set(ASKS) == set(KNOWN)
    ids = [id for ids in KNOWN.values() for id in ids]
    assert len(ids) == len(set(ids))
