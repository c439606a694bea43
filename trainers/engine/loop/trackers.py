"""Where curves go, and that nothing goes anywhere unasked."""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.settings import InputError

PRIVATE: dict[str, object] = {
    "hub_private_repo": True,
    "trackio_space_id": None,
    "trackio_static_space_id": False,  # None would make a static Space, and a public one, of the run
}
"""TRL fields that keep trackers from publishing."""

EXTRA = {"tensorboard": "train", "trackio": "track", "wandb": "track"}
"""Package -> the extra that installs it."""

SILENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL counts runs at the Hub
    "WANDB_ERROR_REPORTING": "false",  # wandb sends its own crashes to Sentry
    "GRADIO_ANALYTICS_ENABLED": "False",
}


def no_telemetry() -> None:
    """Keep the libraries from reporting on us; call it before they are imported. What the user set stays."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)


def report_to(track: Sequence[str], *, out: Path | None = None) -> list[str]:
    """The trackers as transformers takes them; raises InputError when one is not installed.

    TensorBoard writes into OUT/runs. Without WANDB_API_KEY and WANDB_MODE, wandb keeps its run on this machine rather
    than ask for a key in the middle of a run; everything else about it is left to the user's WANDB_* variables.
    """
    no_telemetry()
    chosen = [name for name in dict.fromkeys(track) if name != "none"]
    if "none" in track and chosen:
        raise InputError(f"--track: none and {chosen[0]} exclude each other")
    for name in chosen:
        if importlib.util.find_spec(name) is None:
            raise InputError(f'--track {name}: not installed; run: pip install "suwen[{EXTRA[name]}]"')
    if "tensorboard" in chosen and out is not None:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(out / "runs"))
    if "wandb" in chosen:
        _keep_wandb_here_without_a_key()
    return chosen


def _keep_wandb_here_without_a_key() -> None:
    if "WANDB_API_KEY" not in os.environ and "WANDB_MODE" not in os.environ:
        os.environ["WANDB_MODE"] = "offline"
        print("wandb: no WANDB_API_KEY is set, so the run stays in ./wandb; `wandb sync` uploads it", file=sys.stderr)
