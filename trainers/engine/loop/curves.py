"""What a trainer logged, as the curves of a card."""

from collections.abc import Mapping, Sequence
from typing import Any

from cards.model_facts import Curve

CURVES = ("loss", "learning_rate", "grad_norm", "entropy", "mean_token_accuracy")


def curves_of(log_history: Sequence[Mapping[str, Any]]) -> tuple[Curve, ...]:
    """The curves in a trainer's log: loss, held-out losses, learning rate, gradient norm, entropy, token accuracy."""
    points: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    for entry in log_history:
        for name, value in entry.items():
            if name in CURVES or (name.startswith("eval_") and name.endswith("loss")):
                points.setdefault(name, {})[entry["step"]] = float(value)
    return tuple(Curve(name=name, points=tuple(sorted(of.items()))) for name, of in points.items() if of)
