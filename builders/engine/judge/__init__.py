"""A judge reads answers in both orders: it marks K of them by a rubric, or says which of two is better.

    marked = await mark_all(ask, rubric, conversation, answers, reference=doctors_answer)
    preferences(marked, rubric, margin=0.5)     # pairs to train on: [Preferred(better=2, worse=0, gap=1.25), …]
    ranking(marked, rubric, margin=0.5)         # places to read: [3, 1, 1, 4]
    duel = await compare(ask, rubric, conversation, ours, theirs)

A judge that likes the first place likes each answer once for it: half of the passes read the list backwards. What the
two orders do not agree on is a tie.
"""

from builders.engine.judge.asking import Duel, Marked, Pass, Verdict, compare, mark_all
from builders.engine.judge.figures import LengthBias, agreement, flip_rate, kappa, length_bias
from builders.engine.judge.ranking import Preferred, overall, pair_verdicts, preferences, ranking, totals

__all__ = [
    "Duel",
    "LengthBias",
    "Marked",
    "Pass",
    "Preferred",
    "Verdict",
    "agreement",
    "compare",
    "flip_rate",
    "kappa",
    "length_bias",
    "mark_all",
    "overall",
    "pair_verdicts",
    "preferences",
    "ranking",
    "totals",
]
