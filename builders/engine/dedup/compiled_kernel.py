"""The kernel of the extra `fast`: the same arithmetic as numpy_kernel, a text at a time, compiled by numba.

numba widens uint32 arithmetic to 64 bits; every step is cut back, or the signatures would not be datasketch's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, uint32, uint64

from builders.engine.dedup.folding import MANY, Folding
from builders.engine.dedup.kernel import Folded, Signs
from builders.engine.dedup.scheme import GOLDEN, KEY_MIX, MIX_32, Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_SPELLING = 18
"""Code points that one can become: U+FDFA does."""
STEP = 8
"""Shingles hashed against all running minima at once: each load and store of the minima serves eight of them."""
_MANY, _ODD = np.uint32(MANY), np.uint32(Folding.ODD)
_KEY_MIX, _GOLDEN = np.uint64(KEY_MIX), np.uint64(GOLDEN)
_MIX_32A, _MIX_32B = np.uint32(MIX_32[0]), np.uint32(MIX_32[1])


class CompiledKernel:
    """See Kernel."""

    name = "compiled"

    @staticmethod
    def is_ready() -> bool:
        """Whether an earlier run on this machine has compiled it."""
        return any(Path(_sign.stats.cache_path or "").glob("compiled_kernel._sign-*.nbi"))

    def fold(self, data: "NDArray[np.uint8]", offsets: "NDArray[np.int64]", folding: Folding) -> Folded:
        """Valid UTF-8 to folded code points."""
        ends = np.zeros(len(offsets), np.int64)
        odd = np.zeros(len(offsets) - 1, np.bool_)
        used, room = -1, len(data) + LONGEST_SPELLING
        while used < 0:  # hardly a text needs more code points than it has bytes
            points = np.empty(room, np.uint32)
            used = _fold(data, offsets, folding.table, folding.spelled, points, ends, odd)
            room *= LONGEST_SPELLING
        return Folded(points[:used], ends, np.flatnonzero(odd))

    def signatures(self, folded: Folded, scheme: Scheme) -> "NDArray[np.uint32]":
        """uint32 (n, permutations)."""
        signed = np.empty((len(folded.offsets) - 1, scheme.permutations), np.uint32)
        _signatures(folded.points, folded.offsets, scheme.weights.astype(np.uint32), *scheme.permuting, signed)
        return signed

    def sign(self, folded: Folded, scheme: Scheme) -> Signs:
        """The keys of every band, and what tells exact copies."""
        count, (bands, rows) = len(folded.offsets) - 1, scheme.bands
        signs = Signs(
            np.empty((bands, count), np.uint32),
            np.empty((bands, count), np.uint8),
            np.empty(count, np.uint64),
            np.diff(folded.offsets).astype(np.uint32),
            np.zeros(count, np.bool_),
        )
        weights = scheme.weights.astype(np.uint32)
        _sign(folded.points, folded.offsets, weights, *scheme.permuting, rows, signs.high, signs.low, signs.text)
        return signs


@njit(nogil=True, cache=True)
def _point(data: Any, at: int) -> Any:
    """(code point, where the next begins) of valid UTF-8."""
    byte = uint32(data[at])
    if byte < 0x80:
        return byte, at + 1
    last = uint32(data[at + 1]) & uint32(63)
    if byte < 0xE0:
        return uint32((byte & uint32(31)) << uint32(6) | last), at + 2
    last = uint32(last << uint32(6) | (uint32(data[at + 2]) & uint32(63)))
    if byte < 0xF0:
        return uint32((byte & uint32(15)) << uint32(12) | last), at + 3
    last = uint32(last << uint32(6) | (uint32(data[at + 3]) & uint32(63)))
    return uint32((byte & uint32(7)) << uint32(18) | last), at + 4


@njit(nogil=True, cache=True)
def _fold(data: Any, offsets: Any, table: Any, spelled: Any, points: Any, ends: Any, odd: Any) -> int:
    used = 0
    for row in range(len(offsets) - 1):
        start, at, stop = used, offsets[row], offsets[row + 1]
        while at < stop:
            point, at = _point(data, at)
            entry = table[point]
            if entry < _MANY:
                points[used] = entry
                used += entry != 0
            elif entry == _ODD:
                odd[row] = True
            else:
                if used + LONGEST_SPELLING + (stop - at) > len(points):
                    return -1
                first = (entry ^ _MANY) >> uint32(5)
                for place in range(first, first + (entry & uint32(31))):
                    points[used] = spelled[place]
                    used += 1
        if used == start:
            odd[row] = True
        ends[row + 1] = used
    return used


@njit(nogil=True, cache=True)
def grams_32(points: Any, start: int, end: int, weights: Any, hashes: Any) -> int:
    """The shingles of one text into `hashes`; how many."""
    ngram = len(weights) - 1
    count = end - start - ngram + 1
    if count < 1:
        total = uint32(uint32(ngram - (end - start)) * weights[ngram])
        for place in range(end - start):
            total = uint32(total + uint32(points[start + place] * weights[place]))
        hashes[0] = total
        count = 1
    elif ngram == 5:
        a, b, c, d, e = weights[0], weights[1], weights[2], weights[3], weights[4]
        for at in range(count):
            place = start + at
            left = uint32(points[place] * a) + uint32(points[place + 1] * b) + uint32(points[place + 2] * c)
            hashes[at] = uint32(left + uint32(points[place + 3] * d) + uint32(points[place + 4] * e))
    else:
        for at in range(count):
            hashes[at] = uint32(points[start + at] * weights[0])
        for place in range(1, ngram):
            weight = weights[place]
            for at in range(count):
                hashes[at] = uint32(hashes[at] + uint32(points[start + at + place] * weight))
    for at in range(count):
        mixed = hashes[at]
        mixed = uint32(uint32(mixed ^ (mixed >> uint32(16))) * _MIX_32A)
        mixed = uint32(uint32(mixed ^ (mixed >> uint32(13))) * _MIX_32B)
        hashes[at] = mixed ^ (mixed >> uint32(16))
    return count


@njit(nogil=True, cache=True)
def minima(hashes: Any, count: int, a: Any, b: Any, lowest: Any) -> None:
    """The least of a·h + b over the shingles, for every permutation."""
    many = len(a)
    for place in range(many):
        lowest[place] = uint32(0xFFFFFFFF)
    for at in range(count, count + STEP):  # the last step is filled up with a shingle that is there
        hashes[at] = hashes[count - 1]
    for at in range(0, count, STEP):
        h0, h1, h2, h3 = hashes[at], hashes[at + 1], hashes[at + 2], hashes[at + 3]
        h4, h5, h6, h7 = hashes[at + 4], hashes[at + 5], hashes[at + 6], hashes[at + 7]
        for place in range(many):
            times, plus = a[place], b[place]
            one = min(
                min(uint32(times * h0 + plus), uint32(times * h1 + plus)),
                min(uint32(times * h2 + plus), uint32(times * h3 + plus)),
            )
            two = min(
                min(uint32(times * h4 + plus), uint32(times * h5 + plus)),
                min(uint32(times * h6 + plus), uint32(times * h7 + plus)),
            )
            lowest[place] = min(lowest[place], min(one, two))


@njit(nogil=True, cache=True)
def longest_of(offsets: Any) -> int:
    """Characters of the longest text."""
    most = 0
    for row in range(len(offsets) - 1):
        most = max(most, offsets[row + 1] - offsets[row])
    return most


@njit(nogil=True, cache=True)
def _signatures(points: Any, offsets: Any, weights: Any, a: Any, b: Any, signed: Any) -> None:
    hashes = np.empty(longest_of(offsets) + STEP + 1, np.uint32)
    for row in range(len(offsets) - 1):
        count = grams_32(points, offsets[row], offsets[row + 1], weights, hashes)
        minima(hashes, count, a, b, signed[row])


@njit(nogil=True, cache=True)
def _sign(points: Any, offsets: Any, weights: Any, a: Any, b: Any, rows: int, high: Any, low: Any, text: Any) -> None:
    hashes = np.empty(longest_of(offsets) + STEP + 1, np.uint32)
    lowest = np.empty(len(a), np.uint32)
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        count = grams_32(points, start, end, weights, hashes)
        minima(hashes, count, a, b, lowest)
        for band in range(len(high)):
            key = uint64(band + 1)
            for place in range(band * rows, band * rows + rows):
                key = uint64(uint64(key ^ uint64(lowest[place])) * _KEY_MIX)
                key ^= key >> uint64(29)
            high[band, row] = uint32(key >> uint64(32))
            low[band, row] = np.uint8((key >> uint64(24)) & uint64(255))
        total = uint64(0)
        for place in range(end - start):
            mixed = uint64((uint64(place) << uint64(32)) | uint64(points[start + place])) * _GOLDEN
            mixed = uint64(uint64(mixed ^ (mixed >> uint64(32))) * _KEY_MIX)
            total += mixed ^ (mixed >> uint64(29))
        text[row] = total
