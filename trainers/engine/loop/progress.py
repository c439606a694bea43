"""How a run shows itself: one live line on a terminal, a plain one now and then in a log; and its curves for the card."""

import sys
import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from rich.live import Live

SECONDS_BETWEEN_LINES = 10.0


class Progress(TrainerCallback):
    """Step, epoch, loss, learning rate, gradient norm, tokens a second, time left; only the first process speaks.

    The clock runs from the end of one step to the end of the next, so that waiting for data counts. Evaluation and
    saving do not, nor does the first step, which warms up kernels and caches.
    """

    def __init__(self, between: float = SECONDS_BETWEEN_LINES) -> None:
        self.between = between
        self.seconds_before = 0.0
        """Training behind the checkpoint that was gone on from."""
        self._clocked = 0.0
        self._steps = 0
        self._since: float | None = None
        self._counted_from: tuple[int, float] | None = None
        """Tokens and seconds at the first log."""
        self._tokens_per_second = 0.0
        self._figures: dict[str, Any] = {}
        self._told = 0.0
        self._live: Live | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a resume included."""
        return self.seconds_before + self._clocked

    @property
    def tokens_per_second(self) -> float:
        """Tokens that all processes took a second; 0 before the second log."""
        return self._tokens_per_second

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the live line."""
        self._told = time.monotonic()
        if state.is_world_process_zero and sys.stderr.isatty():
            self._live = _live_line()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count the step's time and say where the run stands."""
        now = time.monotonic()
        if self._since is not None:
            self._clocked += now - self._since
            self._steps += 1
        self._since = now
        if state.is_world_process_zero:
            self._say(state, now)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Take the figures; a log follows the end of its step."""
        if "loss" not in logs:
            return
        self._figures = logs
        tokens = logs.get("num_tokens", 0)
        if self._counted_from is None:
            self._counted_from = (tokens, self._clocked)
        elif self._clocked > self._counted_from[1]:
            self._tokens_per_second = (tokens - self._counted_from[0]) / (self._clocked - self._counted_from[1])

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock anew: evaluation is no training."""
        self._restart()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock anew: saving is no training."""
        self._restart()

    def _restart(self) -> None:
        if self._since is not None:
            self._since = time.monotonic()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the live line and leave the last one."""
        self.close()
        if state.is_world_process_zero:
            print(self.line(state), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()
            self._live = None

    def _say(self, state: Any, now: float) -> None:
        if self._live:
            from rich.text import Text

            self._live.update(Text(self.line(state)), refresh=True)
        elif now - self._told >= self.between:
            self._told = now
            print(self.line(state), file=sys.stderr, flush=True)

    def line(self, state: Any) -> str:
        """Where the run stands; loss, rate and norm are those of the last log."""
        told = f"step {state.global_step}/{state.max_steps}  epoch {state.epoch or 0:.2f}"
        for name, label, form in (
            ("loss", "loss", ".4f"),
            ("learning_rate", "lr", ".2e"),
            ("grad_norm", "|grad|", ".3f"),
        ):
            if name in self._figures:
                told += f"  {label} {self._figures[name]:{form}}"
        if self._tokens_per_second:
            told += f"  {self._tokens_per_second:,.0f} tokens/s"
        left = state.max_steps - state.global_step
        return told + (f"  {span(left * self._clocked / self._steps)} left" if self._steps and left else "")


def span(seconds: float) -> str:
    """A duration in words, e.g. 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _live_line() -> "Live":
    from rich.console import Console
    from rich.live import Live

    live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
    live.start()
    return live
