"""A real consultation, made fit to train on: the rules of this package, one after another."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from builders.curation.bubbles import Said, description_first, merge_bubbles
from builders.curation.farewells import cut_farewells, without_calls_again
from builders.curation.offtopic import depends_on_picture, without_offtopic
from builders.engine.errors import Reject
from builders.sources.consultations import Speaks, Utterance


class Curated(NamedTuple):
    """The turns, from the patient to the doctor by turns, and what became of the rest."""

    turns: tuple[Said, ...]
    first_speaker: Speaks
    """Who spoke first before anything was done."""
    described: bool
    """The case description is part of turn 1."""
    bubbles: int
    """Utterances that there were."""
    merged: int
    """Bubbles joined to the one before them."""
    offtopic: Counter[str]
    """Bubbles dropped, by kind: picture, voice, booking, rating, platform, wordless."""
    opening: int
    """Turns before the complaint was out; the patient's statements among them are in turn 1."""
    farewells: int
    """Turns cut at the end that were thanks and goodbye."""
    unanswered: int
    """Turns cut at the end in which the patient said more."""
    system: int
    """Utterances of neither patient nor doctor, left out."""


def curate(utterances: Sequence[Utterance], description: str = "") -> Curated:
    """Drop talk about pictures and bookings, merge bubbles, put the complaint first, cut farewells.

    The patient's words are never changed, only left out as whole bubbles. Raises Reject: `no utterances`,
    `depends on a picture`, `no complaint`, `no exchange`.
    """
    if not utterances:
        raise Reject("no utterances")
    said = [Said(one.speaker, one.text) for one in utterances if one.speaker != "system"]
    if seen := depends_on_picture(said):
        raise Reject("depends on a picture", seen)
    kept = without_offtopic(said)
    merged = merge_bubbles(kept.said)
    opened = description_first(merged, description)
    ended = cut_farewells(opened.turns)
    if len(ended.turns) < 2:
        raise Reject("no exchange", f"{len(said)} utterances, none of the doctor's with substance after the complaint")
    return Curated(
        turns=(*ended.turns[:-1], without_calls_again(ended.turns[-1])),
        first_speaker=utterances[0].speaker,
        described=bool(description.strip()),
        bubbles=len(said),
        merged=len(kept.said) - len(merged),
        offtopic=kept.dropped,
        opening=opened.before,
        farewells=ended.farewells,
        unanswered=ended.unanswered,
        system=len(utterances) - len(said),
    )
