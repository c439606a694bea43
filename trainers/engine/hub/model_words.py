"""What people write into a model's card, here or on the Hub, is kept: the three-way merge that data set cards have."""

import contextlib
import re
from collections.abc import Iterator

from builders.engine.card_words import heard
from builders.engine.folder import CARD
from cards.handwritten import BEGIN, Handwritten, Said, handwritten, with_handwritten
from cards.model_card import KEYS
from schemas.settings import InputError
from trainers.engine.hub.model_files import Model
from trainers.engine.hub.model_repo import ModelHead, ModelRepo

OURS = re.compile(r"(?:Model|Card of) run-[0-9a-f]{8}")
"""Titles of the commits that a push makes."""


def card_to_push(model: Model, repo: ModelRepo, head: ModelHead) -> bytes:
    """The folder's card with the words that are to stand in it; raises InputError when both sides were changed."""
    where = model.folder / CARD
    try:
        card = where.read_text(encoding="utf-8")
        here, there = _by_people(card), _by_people(head.card or "")
    except FileNotFoundError:
        raise InputError(f"--push: {where} is gone; a model goes up with its card") from None
    except ValueError as wrong:  # UnicodeDecodeError is one
        raise InputError(f"--push: {CARD}: {wrong}") from None
    if BEGIN not in card:
        raise InputError(f"--push: {where} has lost the marks around its generated part; put them back")
    stands = heard(model.folder, here, there, _said_before(repo, head))
    ours = {name: value for name, value in handwritten(card).keys.items() if name in KEYS}
    return with_handwritten(card, stands._replace(keys=ours | stands.keys)).encode()


def said(card: str | None) -> Said:
    """All that people wrote into a model's card."""
    return _by_people(card or "").said


def _by_people(card: str) -> Handwritten:
    found = handwritten(card)
    return found._replace(keys={name: value for name, value in found.keys.items() if name not in KEYS})


def _said_before(repo: ModelRepo, head: ModelHead) -> Iterator[Said]:
    """What people had said in each card that was pushed, the latest first."""
    for commit, title in repo.titles(head.commit).items():
        if OURS.fullmatch(title):
            with contextlib.suppress(InputError, ValueError):  # a card that cannot be read said nothing
                yield said(repo.text(CARD, commit))
