"""What a knowledge graph says of a doctor's statements: the facts go into the prompt, and the verdicts are checked here."""

from collections.abc import Sequence
from typing import Literal

from builders.engine.ask import Ask
from builders.engine.entities.lexicon import Lexicon
from builders.prompts import prompt
from builders.sources.knowledge import Graph
from schemas.base import Record
from schemas.dialogue import Claim, Turn

MOST_FACTS = 24
IN_GRAPHS = {"disease", "symptom", "drug", "test"}


class Judged(Record):
    """One statement and its verdict."""

    n: int
    text: str
    verdict: Literal["supported", "contradicted", "unknown"]
    f: int


class Judgement(Record):
    """All of them."""

    claims: tuple[Judged, ...]


async def judged_claims(turns: Sequence[Turn], graph: Graph, lexicon: Lexicon, ask: Ask) -> tuple[Claim, ...]:
    """The doctor's statements that the graph knows anything about; no call is made where it knows nothing.

    A claim that the doctor did not make is dropped, and a verdict that names no fact of those shown is `unknown`.
    """
    said = {n: turn.text for n, turn in enumerate(turns) if turn.speaker == "doctor"}
    mentions = [mention for text in said.values() for mention in lexicon.mentions(text) if mention.kind in IN_GRAPHS]
    names = dict.fromkeys(name for mention in mentions for name in (mention.text, mention.value))
    facts = [" ".join(fact) for fact in graph.facts_about(names, most=MOST_FACTS)]
    if not facts:
        return ()
    asked = {
        "turns": [{"n": n, "text": text} for n, text in said.items()],
        "facts": [{"f": f, "text": fact} for f, fact in enumerate(facts)],
    }
    judgement = await ask(prompt("check_claims").messages(asked), shape=Judgement)
    return tuple(_claim(one, facts) for one in judgement.claims if one.text and one.text in said.get(one.n, ""))


def _claim(one: Judged, facts: Sequence[str]) -> Claim:
    if one.verdict == "unknown" or not 0 <= one.f < len(facts):
        return Claim(turn=one.n, text=one.text, verdict="unknown")
    return Claim(turn=one.n, text=one.text, verdict=one.verdict, fact=facts[one.f])
