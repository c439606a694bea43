"""Decide which triplets are worth an answer."""

from collections.abc import Callable, Sequence

from builders.engine import filters
from builders.engine.dedup.index import NearIndex
from builders.engine.errors import Reject
from builders.engine.filters import RougeL, VerbDiversity
from builders.engine.grid import Picked
from builders.sources.seed_tasks import HumanSeed
from builders.triplets.shapes import Candidate, Flawed, Triplet
from schemas.base import Figure


class TripletJudge:
    """Which triplets are worth an answer: a verdict needs the triplets accepted before, so the order is everything."""

    def __init__(
        self,
        seeds: Sequence[HumanSeed],
        *,
        max_rouge_l: float,
        max_jaccard: float,
        is_paid: Callable[[Triplet], bool],
    ) -> None:
        self._max_rouge_l = max_rouge_l
        self._is_paid = is_paid
        self._rouge_l = RougeL()
        self._near = NearIndex(max_jaccard)
        self._verbs = VerbDiversity()
        for number, seed in enumerate(seeds):  # a teacher that copies its examples brings nothing new
            self._rouge_l.add(f"human seed {number + 1}", seed.instruction)

    def __call__(self, picked: Picked[Candidate]) -> Candidate:
        """The candidate with what was measured on it; raises Reject."""
        candidate = picked.item
        if candidate.triplet is None:
            flawed = candidate.flawed or Flawed(why="", seen="")
            raise Reject("invalid item", f"{flawed.why}: {flawed.seen}")
        instruction, material = candidate.triplet.instruction, candidate.triplet.input
        reason = plain_flaw(instruction, material)
        if reason:
            raise Reject(reason, instruction)
        if verb := self._verbs.overused(picked.cell, instruction):
            raise Reject("verb overused", f"{verb} in {picked.cell}")
        if (nearest := self._rouge_l.nearest(instruction, self._max_rouge_l)).key:
            raise Reject("instruction too similar", f"ROUGE-L {nearest.score:.3f} with {nearest.key}")
        asked = f"{instruction}\n{material}"
        if (twin := self._near.nearest(asked)).key:
            raise Reject("near-duplicate", f"Jaccard {twin.score:.3f} with {twin.key}")
        figures = (
            Figure(name="instruction_chars", value=len(instruction)),
            Figure(name="rouge_l_below", value=self._max_rouge_l),
            Figure(name="jaccard_below", value=self._near.threshold),
        )
        return candidate.model_copy(update={"figures": figures})

    def keep(self, picked: Picked[Candidate]) -> None:
        """Let an item through: later ones must differ from it."""
        triplet = picked.item.triplet
        assert triplet is not None
        self._rouge_l.add(picked.key, triplet.instruction)
        self._near.add(picked.key, f"{triplet.instruction}\n{triplet.input}")
        self._verbs.add(picked.cell, triplet.instruction)

    def is_paid(self, picked: Picked[Candidate]) -> bool:
        """Whether its answer is in the ledger."""
        return picked.item.triplet is not None and self._is_paid(picked.item.triplet)


def plain_flaw(instruction: str, material: str) -> str | None:
    """What is wrong with a triplet on its own, without looking at others."""
    bad_length = filters.length(instruction, least=4, most=200)
    bad_input = filters.length(material, least=0, most=800)
    return filters.first_reason(
        [
            bad_length and f"instruction {bad_length}",
            bad_input and f"input {bad_input}",
            filters.speaks_as_ai(instruction),
            filters.beyond_text(instruction) or filters.beyond_text(material),
        ]
    )
