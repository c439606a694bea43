"""Folding, shingles and signatures: both kernels say the same, and the same as Python and datasketch do."""

import itertools
import random
import subprocess
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from conftest import ROOT
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as some

from builders.engine.dedup.folding import SWITCHES, Folding
from builders.engine.dedup.interchange import minhashes
from builders.engine.dedup.kernel import EMPTY, fold, gram_hash, kernel_for
from builders.engine.dedup.overlap import Overlaps
from builders.engine.dedup.scheme import Scheme, bands_for, found

NAMES = ("numpy", "compiled")
EVERYTHING = Folding()

ALPHABET = some.one_of(
    some.characters(exclude_categories=("Cs",)),
    some.sampled_from("高血壓糖尿病ＡｂＣ１２③Ⅷﬁﾊﾞ가힣éẞİſ😀👍🏽\u0301\u0308\u1161\u11a8ﷺ\u200d\ufe0f\0 ，。？！_-"),
)
TEXTS = some.lists(some.text(ALPHABET, max_size=30), min_size=1, max_size=12)


@pytest.fixture(params=NAMES, scope="module")
def kernel(request):
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the compiled kernel needs the extra `fast`")
    return kernel_for(request.param, 0)


def folded(kernel, texts, scheme):
    return fold(kernel, pa.array(texts, pa.large_string()), scheme.folding)


def as_texts(pieces):
    """The folded texts as Python strings; the one that stands for no character as the empty text."""
    parts = np.split(pieces.points, pieces.offsets[1:-1])
    return ["" if list(part) == [EMPTY] else part.tobytes().decode("utf-32-le") for part in parts]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Ｃ反應蛋白（CRP）偏高！", "c反应蛋白crp偏高"),
        ("高血壓　患者，血糖︰７.０ mmol/L", "高血压患者血糖70mmoll"),
        ("Straße", "strasse"),
        ("cafe\u0301", "café"),
        ("ﾊﾞｲｱﾙ", "バイアル"),
        ("Ⅷ期", "viii期"),
        ("麻藥後遺症", "麻药后遗症"),
        ("__血糖__", "血糖"),
    ],
)
def test_what_does_not_count_is_folded_away(kernel, text, same):
    assert EVERYTHING.text(text) == same
    assert as_texts(folded(kernel, [text], Scheme())) == [same]


def test_a_text_of_signs_alone_stays_as_it_is_and_no_text_is_one(kernel):
    assert as_texts(folded(kernel, ["？！", "😀", "👍", ""], Scheme())) == ["？！", "😀", "👍", ""]


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_part_of_folding_can_be_switched_off(kernel, switch):
    shows = {"nfkc": "①", "case": "A", "width": "１", "punctuation": "a,b", "simplified": "藥"}[switch]
    off = Folding(name for name in SWITCHES if name not in (switch, "nfkc"))
    assert off.text(shows) == shows != EVERYTHING.text(shows)
    assert as_texts(folded(kernel, [shows], Scheme(folding=off))) == [off.text(shows)]


def test_an_unknown_switch_is_refused():
    with pytest.raises(ValueError, match="fold must be of nfkc, case, width, punctuation, simplified, got 'stem'"):
        Folding(["case", "stem"])


SOME_SWITCHES = [SWITCHES, ("nfkc",), ("nfkc", "case", "punctuation"), ("width", "case"), ("simplified",), ()]


@settings(deadline=None)
@given(texts=TEXTS, switches=some.sampled_from(SOME_SWITCHES))
def test_the_table_folds_as_python_does(texts, switches):
    folding = FOLDINGS[switches]
    kernels = [kernel_for(name, 0) for name in NAMES if name == "numpy" or has_numba()]
    for one in kernels:
        assert as_texts(folded(one, texts, Scheme(folding=folding))) == [folding.text(text) for text in texts]


FOLDINGS = {switches: Folding(switches) for switches in SOME_SWITCHES}


def has_numba():
    return pytest.importorskip("numba") is not None


def test_every_code_point_folds_as_python_folds_it(kernel):
    points = [
        chr(point) for point in [*range(0xD800), *range(0xE000, 0x110000)] if not unicodedata.combining(chr(point))
    ]
    for first in range(0, len(points), 50_000):
        texts = points[first : first + 50_000]
        assert as_texts(folded(kernel, texts, Scheme())) == [EVERYTHING.text(text) for text in texts]


@settings(deadline=None)
@given(texts=TEXTS, ngram=some.sampled_from([1, 2, 3, 5, 13]), permutations=some.sampled_from([16, 128]))
def test_signatures_are_bit_for_bit_those_of_datasketch(texts, ngram, permutations):
    scheme = Scheme(ngram=ngram, permutations=permutations, folding=EVERYTHING)
    one = kernel_for("numpy", 0)
    for text, mine in zip(texts, one.signatures(folded(one, texts, scheme), scheme), strict=True):
        letters = EVERYTHING.text(text) or chr(0)
        shingles = [letters[at : at + ngram] for at in range(max(1, len(letters) - ngram + 1))]
        theirs = MinHash(permutations, scheme="affine32", hashfunc=lambda gram: gram_hash(gram, scheme))
        theirs.update_batch(shingles)
        if EVERYTHING.text(text):
            assert (mine == theirs.hashvalues).all()


@settings(deadline=None)
@given(texts=TEXTS, ngram=some.sampled_from([1, 2, 3, 5, 7]))
def test_both_kernels_give_the_same_keys(texts, ngram):
    pytest.importorskip("numba", reason="the compiled kernel needs the extra `fast`")
    scheme = Scheme(0.7, ngram, folding=EVERYTHING)
    one, other = (kernel_for(name, 0) for name in NAMES)
    mine, theirs = (some.sign(folded(some, texts, scheme), scheme) for some in (one, other))
    assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(mine, theirs, strict=True))
    signed = [some.signatures(folded(some, texts, scheme), scheme) for some in (one, other)]
    assert (signed[0] == signed[1]).all()


def test_the_index_of_datasketch_takes_our_signatures_and_finds_the_same_neighbours():
    rng = random.Random(4)
    texts = ["".join(rng.choices("高血压糖尿病怎么治疗吃药医生孩子发烧咳嗽", k=40)) for _ in range(60)]
    texts += [text[:at] + "了" + text[at + 1 :] for text, at in zip(texts, itertools.cycle(range(5, 35)), strict=False)]
    scheme = Scheme(0.7, 3)
    ours, theirs = MinHashLSH(params=scheme.bands, num_perm=128), MinHashLSH(params=scheme.bands, num_perm=128)
    for row, (text, sketch) in enumerate(zip(texts, minhashes(texts, scheme), strict=True)):
        letters = EVERYTHING.text(text)
        own = MinHash(128, scheme="affine32", hashfunc=lambda gram: gram_hash(gram, scheme))
        own.update_batch([letters[at : at + 3] for at in range(len(letters) - 2)])
        assert ours.query(sketch) == theirs.query(own)
        ours.insert(row, sketch)
        theirs.insert(row, own)
    assert all(row + 60 in ours.query(sketch) for row, sketch in enumerate(minhashes(texts[:60], scheme)))


def test_the_bands_at_08_find_998_of_1000_pairs_and_one_row_more_would_find_too_few():
    assert bands_for(0.8) == (21, 6)
    # a pair meets in one band with 0.8^6 = 0.262144, misses all 21 with 0.737856^21 = 0.0017
    assert found(0.8, 21, 6) == pytest.approx(0.9983, abs=5e-5)
    assert found(0.8, 128 // 7, 7) < 0.99
    # what datasketch takes for 0.8: 9 bands of 13
    assert found(0.8, 9, 13) == pytest.approx(0.40, abs=0.005)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99])
def test_the_bands_fit_the_signature_and_reach_the_recall(threshold):
    bands, rows = bands_for(threshold)
    assert bands * rows <= 128
    assert found(threshold, bands, rows) >= 0.99


def test_at_one_all_permutations_make_one_band():
    assert bands_for(1.0) == (1, 128)


def test_the_threshold_is_a_whole_fraction():
    assert Scheme(0.8).ratio.as_integer_ratio() == (4, 5)
    assert Scheme(0.75).ratio.as_integer_ratio() == (3, 4)


def test_an_item_inside_a_text_is_found_with_its_share_and_its_span():
    rng = random.Random(7)

    def letters(count):
        return "".join(rng.choices([chr(point) for point in range(0x4E00, 0x5E00)], k=count))

    item, other, short = letters(80), letters(30), "高血压怎么治"
    changed = item[:40] + "甲" + item[41:]  # 68 places for a 13-gram, of which 13 hold the changed character
    texts = [f"答：{item}。", changed, letters(50) + other[:14], letters(200), short]
    one = kernel_for("numpy", 0)
    overlaps = Overlaps(folded(one, [item, other, short], Scheme()), Scheme())
    pieces = folded(one, texts, Scheme())
    assert overlaps.look(pieces).tolist() == [True, True, True, False, False]
    assert [tuple(found) for found in overlaps.of(pieces)] == [
        (0, 0, 1.0, 80),
        (1, 0, 55 / 68, 40),
        (2, 1, 2 / 18, 14),
    ]
    assert [found.contaminated for found in overlaps.of(pieces)] == [True, True, False]


@pytest.mark.parametrize(("name", "says"), [("auto", "numpy does the work"), ("compiled", "ValueError: the compiled")])
def test_where_nothing_compiled_can_be_kept_it_is_said(name, says):
    pytest.importorskip("numba", reason="the compiled kernel needs the extra `fast`")
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from builders.engine.dedup.kernel import kernel_for\n"
        f"print(kernel_for({name!r}, 10**9).name)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "the compiled kernel cannot be kept (cannot cache function" in done.stderr
    assert says in done.stderr
    assert done.stdout == ("numpy\n" if name == "auto" else "")
