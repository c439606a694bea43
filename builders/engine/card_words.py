"""What people write into a card, here or on the Hub: both are kept, or it is said that they differ.

As in a merge, three sides are compared: the folder's card, that on the Hub, and those of the releases before. Whoever
changed their words since the latest release is heard; a folder that is merely behind gives way.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from builders.engine.folder import CARD
from builders.engine.hub import Head, HubRepo
from cards.handwritten import NOTHING, Handwritten, Said, handwritten, with_handwritten
from cards.version import parts
from schemas.settings import InputError

TAG = re.compile(r"v(\d+\.\d+\.\d+)")


def card_to_push(folder: Path, repo: HubRepo, head: Head) -> bytes:
    """The folder's card with the words that are to stand in it; raises InputError when both sides were changed."""
    try:
        card = (folder / CARD).read_text(encoding="utf-8")
        here, there = handwritten(card), handwritten(head.card or "")
    except ValueError as wrong:  # UnicodeDecodeError is one
        raise InputError(f"--push: {CARD}: {wrong}") from None
    return with_handwritten(card, heard(folder, here, there, _said_before(repo, head))).encode()


def keeps_its_own_words(folder: Path, repo: HubRepo, head: Head) -> bool:
    """Whether the folder's card says something that was never on the Hub; tells so."""
    here = handwritten((folder / CARD).read_text(encoding="utf-8")).said
    if here in (NOTHING, handwritten(head.card or "").said) or here in _said_before(repo, head):
        return False
    told = "has words that the card on the Hub has not; they go up with the next release"
    print(f"{folder / CARD} {told}", file=sys.stderr)
    return True


def heard(folder: Path, here: Handwritten, there: Handwritten, before: Iterator[Said]) -> Handwritten:
    """The words that stand: whichever side changed them since the releases `before`; raises InputError when both did."""
    if here.said in (there.said, NOTHING):
        return there
    latest = next(before, NOTHING)
    if here.said == latest or here.said in (earlier := list(before)):
        return there  # nobody changed it here; the folder may be behind
    if there.said == latest or there.said in (NOTHING, *earlier):
        return here  # nobody changed it there
    raise InputError(
        f"--push: what people wrote in {folder / CARD} and in the card on the Hub differ; make the folder's like the Hub's"
    )


def _said_before(repo: HubRepo, head: Head) -> Iterator[Said]:
    """What people said in the card of each release, the latest first."""
    versions = [found[1] for tag in head.tags if (found := TAG.fullmatch(tag))]
    for version in sorted(versions, key=parts, reverse=True):
        with contextlib.suppress(InputError, ValueError):  # a release whose card cannot be read said nothing
            yield handwritten(repo.text(CARD, f"v{version}")).said
