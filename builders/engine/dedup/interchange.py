"""Signatures for datasketch, whose storages (Redis, Cassandra, pickles) and tools stay open that way.

lsh = datasketch.MinHashLSH(num_perm=128, params=Scheme().bands, storage_config={"type": "redis", …})
for key, sketch in zip(keys, minhashes(texts, Scheme())):
    lsh.insert(key, sketch)
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from builders.engine.dedup.kernel import fold, kernel_for
from builders.engine.dedup.scheme import SEED, Scheme
from builders.engine.dedup.texts import Listed

if TYPE_CHECKING:
    from datasketch import MinHash


def minhashes(texts: Sequence[str], scheme: Scheme) -> "Iterator[MinHash]":
    """The signature of each text, as datasketch would have made it from the same shingles and hashes."""
    from datasketch import MinHash

    kernel = kernel_for("numpy", 0)
    for batch in Listed(texts).texts():
        for row in kernel.signatures(fold(kernel, batch, scheme.folding), scheme):
            yield MinHash(hashvalues=row, permutations=scheme.permuting, seed=SEED, scheme="affine32")
