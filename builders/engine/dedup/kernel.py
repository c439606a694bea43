"""What a kernel does, and which of the two does it: numpy, in every install, or compiled (extra `fast`). Same results."""

import importlib.util
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from builders.engine.dedup.folding import Folding
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

WORTH_LOADING, WORTH_COMPILING = 50_000_000, 1_000_000_000
"""Bytes of text from which the compiled kernel pays for being loaded (0.3 s), and for being compiled (7 s, once)."""
EMPTY = 0x110000
"""Stands for the text without a character, so that every text has a code point and a shingle."""


class Folded(NamedTuple):
    """Texts as folded code points, end to end: text i is points[offsets[i] : offsets[i + 1]], never empty."""

    points: "NDArray[np.uint32]"
    offsets: "NDArray[np.int64]"
    odd: "NDArray[np.int64]"
    """Texts that the table cannot fold (see Folding.ODD) or leaves nothing of."""


class Signs(NamedTuple):
    """What pass one keeps of n texts; a band's 40-bit key is high << 8 | low."""

    high: "NDArray[np.uint32]"
    """(bands, n)."""
    low: "NDArray[np.uint8]"
    """(bands, n)."""
    text: "NDArray[np.uint64]"
    """(n,): hash of the whole folded text."""
    length: "NDArray[np.uint32]"
    """(n,): characters of the folded text."""
    suspect: "NDArray[np.bool_]"
    """(n,): worth a second look."""


class Kernel(Protocol):
    """The arithmetic over many texts. Safe to call from several threads at once."""

    name: str

    def fold(self, data: "NDArray[np.uint8]", offsets: "NDArray[np.int64]", folding: Folding) -> Folded:
        """Valid UTF-8 to folded code points."""
        ...

    def signatures(self, folded: Folded, scheme: Scheme) -> "NDArray[np.uint32]":
        """uint32 (n, permutations): what datasketch's MinHash would hold."""
        ...

    def sign(self, folded: Folded, scheme: Scheme) -> Signs:
        """The keys of every band, and what tells exact copies."""
        ...


def kernel_for(name: str, text_bytes: int) -> Kernel:
    """The kernel called `name`; `auto` is the compiled one where it is installed and pays for being loaded.

    Raises ValueError when the compiled one is asked for and cannot be had.
    """
    installed = importlib.util.find_spec("numba") is not None
    if name == "compiled" and not installed:
        raise ValueError("the compiled kernel needs numba: pip install 'suwen[fast]'")
    if name == "compiled" or (name == "auto" and installed and text_bytes >= WORTH_LOADING):
        try:
            from builders.engine.dedup.compiled_kernel import CompiledKernel

            if name == "compiled" or text_bytes >= WORTH_COMPILING or CompiledKernel.is_ready():
                return CompiledKernel()
        except RuntimeError as wrong:  # numba finds no folder that it may write to
            reason = f"the compiled kernel cannot be kept ({wrong}); NUMBA_CACHE_DIR names a folder for it"
            if name == "compiled":
                raise ValueError(reason) from None
            print(f"{reason}; numpy does the work, more slowly", file=sys.stderr)
    from builders.engine.dedup.numpy_kernel import NumpyKernel

    return NumpyKernel()


def fold(kernel: Kernel, texts: "pa.LargeStringArray", folding: Folding) -> Folded:
    """Texts without nulls, of valid UTF-8, to folded code points, the odd ones among them too."""
    import numpy as np

    data, offsets = utf8(texts)
    if len(data) and data.max() >= 0xF0:
        folding.extend()
    folded = kernel.fold(data, offsets, folding)
    if not len(folded.odd):
        return folded
    pieces = np.split(folded.points, folded.offsets[1:-1])
    for row in folded.odd:
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode()
        letters = np.frombuffer(folding.text(text).encode("utf-32-le"), np.uint32)
        pieces[row] = letters if len(letters) else np.array([EMPTY], np.uint32)
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return Folded(np.concatenate(pieces), np.concatenate(([0], ends)), folded.odd[:0])


def utf8(texts: "pa.LargeStringArray") -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
    """(bytes, offsets) of the texts: text i is bytes[offsets[i] : offsets[i + 1]]."""
    import numpy as np

    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if data is None:
        return np.zeros(0, np.uint8), offsets
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def gram_hash(gram: str, scheme: Scheme) -> int:
    """A shingle's 32-bit hash before mixing: as the `hashfunc` of datasketch's MinHash it makes the same signatures."""
    weights = [int(weight) % 2**32 for weight in scheme.weights]
    total = sum(ord(letter) * weight for letter, weight in zip(gram, weights, strict=False))
    return (total + weights[-1] * (scheme.ngram - len(gram))) % 2**32
