"""The kernel of every install: whole batches at a time, no Python object per text or shingle."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup.folding import MANY, Folding
from builders.engine.dedup.kernel import Folded, Signs
from builders.engine.dedup.scheme import GOLDEN, KEY_MIX, MIX_32, MIX_64, Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAMS_AT_ONCE = 1 << 16
"""Shingles hashed at a time: 256 kB, so that 128 passes over them stay in a core's cache."""


class NumpyKernel:
    """See Kernel."""

    name = "numpy"

    def fold(self, data: "NDArray[np.uint8]", offsets: "NDArray[np.int64]", folding: Folding) -> Folded:
        """Valid UTF-8 to folded code points."""
        points = np.frombuffer(str(data.data, "utf-8").encode("utf-32-le"), np.uint32)
        offsets = _in_characters(data, offsets, len(points))
        folded = folding.table[points]
        odd = many = np.zeros(0, np.int64)
        if folded.max(initial=0) >= MANY:
            odd = np.flatnonzero(folded == Folding.ODD)
            folded[odd] = 0
            many = np.flatnonzero(folded >= MANY)
        gone = np.flatnonzero(folded == 0)
        kept = offsets - np.searchsorted(gone, offsets)
        if len(many):
            folded, kept = _spelled_out(folded, many, offsets, folding)
        elif len(gone):
            folded = folded[folded != 0]
        texts = np.searchsorted(offsets, odd, side="right") - 1
        return Folded(folded, kept, np.union1d(texts, np.flatnonzero(np.diff(kept) == 0)))

    def signatures(self, folded: Folded, scheme: Scheme) -> "NDArray[np.uint32]":
        """uint32 (n, permutations)."""
        hashes, starts = text_grams(folded, scheme, np.uint32)
        signed = np.empty((len(folded.offsets) - 1, scheme.permutations), np.uint32)
        for first, end in _blocks(starts):
            block = hashes[starts[first] : starts[end] if end < len(starts) else None]
            where, room = starts[first:end] - starts[first], np.empty_like(block)
            for place, (a, b) in enumerate(zip(*scheme.permuting, strict=True)):
                np.multiply(block, a, out=room)
                np.add(room, b, out=room)
                signed[first:end, place] = np.minimum.reduceat(room, where)
        return signed

    def sign(self, folded: Folded, scheme: Scheme) -> Signs:
        """The keys of every band, and what tells exact copies."""
        keys = band_keys(self.signatures(folded, scheme), scheme)
        length = np.diff(folded.offsets)
        return Signs(
            high=(keys >> np.uint64(8)).astype(np.uint32),
            low=keys.astype(np.uint8),
            text=_text_hashes(folded),
            length=length.astype(np.uint32),
            suspect=np.zeros(len(length), np.bool_),
        )


def band_keys(signatures: "NDArray[np.uint32]", scheme: Scheme) -> "NDArray[np.uint64]":
    """uint64 (bands, n): the 40-bit key of each band of n signatures."""
    bands, rows = scheme.bands
    parts = signatures[:, : bands * rows].reshape(-1, bands, rows)
    keys = np.empty((bands, len(signatures)), np.uint64)
    keys[:] = np.arange(1, bands + 1, dtype=np.uint64)[:, None]
    for row in range(rows):
        keys ^= parts[:, :, row].T
        keys *= np.uint64(KEY_MIX)
        keys ^= keys >> np.uint64(29)
    return keys >> np.uint64(24)


def gram_sets(folded: Folded, scheme: Scheme) -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
    """(hashes, offsets): the 64-bit hashes of each text's shingles, each once and ascending."""
    hashes, starts = text_grams(folded, scheme, np.uint64)
    for first, end in zip(starts, [*starts[1:], len(hashes)], strict=True):
        hashes[first:end].sort()
    first_of_its_kind = np.ones(len(hashes), bool)
    first_of_its_kind[1:] = hashes[1:] != hashes[:-1]
    first_of_its_kind[starts] = True
    counts = np.add.reduceat(first_of_its_kind, starts, dtype=np.int64) if len(starts) else starts
    return hashes[first_of_its_kind], np.concatenate(([0], np.cumsum(counts)))


def _in_characters(data: "NDArray[np.uint8]", offsets: "NDArray[np.int64]", count: int) -> "NDArray[np.int64]":
    """Offsets in bytes to offsets in characters, `count` of them in all."""
    if count == len(data):
        return offsets
    later = np.flatnonzero(data.view(np.int8) >= -64)  # what is no continuation byte
    return np.searchsorted(later, offsets)


def _spelled_out(
    folded: "NDArray[np.uint32]", many: "NDArray[np.int64]", offsets: "NDArray[np.int64]", folding: Folding
) -> "tuple[NDArray[np.uint32], NDArray[np.int64]]":
    """(code points, offsets) with those that stand for several replaced by them."""
    counts = (folded != 0).astype(np.int64)
    counts[many] = folded[many] & 31
    ends = np.concatenate(([0], np.cumsum(counts)))
    out = np.repeat(folded, counts)
    for place in many:
        start = (int(folded[place]) ^ MANY) >> 5
        out[ends[place] : ends[place + 1]] = folding.spelled[start : start + counts[place]]
    return out, ends[offsets]


def text_grams(
    folded: Folded, scheme: Scheme, width: "type[np.unsignedinteger[Any]]"
) -> "tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.int64]]":
    """(hashes, starts): the shingles of every text, end to end; of `width` bits."""
    points, offsets, ngram = folded.points, folded.offsets, scheme.ngram
    weights, lengths = scheme.weights.astype(width), np.diff(offsets)
    total = np.multiply(points, weights[0], dtype=width)
    for place in range(1, min(ngram, len(points))):
        total[:-place] += np.multiply(points[place:], weights[place], dtype=width)
    inside = np.ones(len(points), bool)
    for place in range(1, ngram):  # no shingle begins where its text ends too soon
        inside[np.maximum(offsets[1:] - place, offsets[:-1])] = False
    inside[offsets[:-1]] = True
    short = np.flatnonzero(lengths < ngram)
    whole = (ngram - lengths[short]).astype(width) * weights[-1]
    for place in range(ngram - 1):
        reaches = lengths[short] > place
        whole[reaches] += points[offsets[short[reaches]] + place] * weights[place]
    total[offsets[short]] = whole
    counts = np.maximum(lengths - ngram + 1, 1)
    return _mixed(total[inside]), np.concatenate(([0], np.cumsum(counts)))[:-1]


def _mixed(hashes: "NDArray[Any]") -> "NDArray[Any]":
    """MurmurHash3's finaliser, in place."""
    bits = hashes.dtype.itemsize * 8
    first, second, third = (16, 13, 16) if bits == 32 else (33, 33, 33)
    kind, (one, other) = hashes.dtype.type, MIX_32 if bits == 32 else MIX_64
    hashes ^= hashes >> kind(first)
    hashes *= kind(one)
    hashes ^= hashes >> kind(second)
    hashes *= kind(other)
    hashes ^= hashes >> kind(third)
    return hashes


def _text_hashes(folded: Folded) -> "NDArray[np.uint64]":
    """The sum over a text's characters of each, mixed with its place."""
    lengths = np.diff(folded.offsets)
    mixed = np.arange(len(folded.points), dtype=np.uint64)
    mixed -= np.repeat(folded.offsets[:-1].astype(np.uint64), lengths)
    mixed <<= np.uint64(32)
    mixed |= folded.points
    mixed *= np.uint64(GOLDEN)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(KEY_MIX)
    mixed ^= mixed >> np.uint64(29)
    return np.add.reduceat(mixed, folded.offsets[:-1])


def _blocks(starts: "NDArray[np.int64]") -> Iterator[tuple[int, int]]:
    """(first, end) of runs of texts with about GRAMS_AT_ONCE shingles."""
    first = 0
    while first < len(starts):
        end = max(first + 1, int(np.searchsorted(starts, starts[first] + GRAMS_AT_ONCE)))
        yield first, end
        first = end
