"""Everything private in a text: one search for a first sign, then the detectors that it calls for."""

import re
from functools import lru_cache

from builders.engine.privacy.names import named
from builders.engine.privacy.patterns import shaped
from builders.engine.privacy.places import placed
from builders.engine.privacy.spans import Hit, folded, settle

SHAPED = re.compile(
    r"[0-9A-Za-z_-]{4}|[0-9][床.月/-]|[0-9 ]{5}|床|月|同号|[零〇一二三四五六七八九幺]{3}|微博|抖音|快手|小红书|视频号|公众号|@"
)
RANK = ("mail", "url", "id_number", "chat", "phone", "record", "date")
"""Where hits overlap the earlier kind wins; addresses, hospitals and names come after, the longest first."""


def find(text: str) -> list[Hit]:
    """What is private in a text, in order and without overlaps; placeholders are nothing private.

    Unsure means private. Dates are those of a day (2018年3月5日, 3月12号): months, ages, durations and 昨天 are none.
    """
    return list(_found(text))


@lru_cache(maxsize=512)
def _found(text: str) -> tuple[Hit, ...]:
    """A dialogue is looked through twice: for what to remember, then to mask."""
    flat = folded(text)
    hits = list(shaped(text, flat)) if SHAPED.search(flat) else []
    hits += [*placed(text, flat), *named(text, flat)]
    return tuple(settle(hits, RANK)) if hits else ()


def unresolved(text: str) -> list[Hit]:
    """What still looks private in a text that is to be pushed; a masked text has nothing."""
    return find(text)
