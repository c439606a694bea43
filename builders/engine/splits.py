"""Which split a row goes to: near-duplicates stay together, old rows stay where they were, a hash decides the rest."""

import hashlib
from collections.abc import Iterable, Mapping

from builders.engine.dedup.index import clusters

CLUSTER_JACCARD = 0.7
"""Rows whose first words are this alike never stand on both sides of a split."""
SHARES = (("train", 90), ("validation", 5), ("test", 5))


def assign_splits(texts: Iterable[tuple[str, str]], old: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """(key, text) pairs to key -> (split, cluster); `old` holds the splits of the previous release.

    Rows are of one cluster when their texts are near-duplicates, or both are of some third; see `placed`.
    """
    return placed(clusters(texts, CLUSTER_JACCARD), old)


def placed(cluster_of: Mapping[str, str], old: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Key -> (split, cluster), from the first key of each row's cluster.

    An old row keeps its split. A new row joins its cluster's: that of the first old row in it, else the one that the
    hash of the cluster's first key decides. When no row is left for training, all of them are.
    """
    kept: dict[str, str] = {}
    for key, cluster in cluster_of.items():
        if key in old:
            kept.setdefault(cluster, old[key])
    places = {
        key: (old.get(key) or kept.get(cluster) or hashed(cluster), cluster) for key, cluster in cluster_of.items()
    }
    if any(split == "train" for split, _ in places.values()):
        return places
    return {key: (old.get(key) or kept.get(cluster, "train"), cluster) for key, (_, cluster) in places.items()}


def hashed(key: str) -> str:
    """The split that the SHA-256 of a key falls into, by SHARES."""
    point = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % 100
    for split, share in SHARES:
        point -= share
        if point < 0:
            return split
    raise AssertionError("SHARES add up to 100")
