"""What every trainer of ours adds to a TRL trainer: whole checkpoints, exact resume, a stop in time, and our own card.

class Supervised(Training, SFTTrainer): ...
"""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Sampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerControl
from transformers.utils.logging import disable_progress_bar
from trl.trainer.utils import RepeatSampler

from trainers.engine.launching.stopping import Stopped, asked_to_stop
from trainers.engine.loop.checkpoints import (
    Mark,
    keep_newest,
    refuse_others,
    remove_leftovers,
    seconds_behind,
    settle,
    whole_checkpoints,
    writing,
)
from trainers.engine.loop.guards import Culprit, ask_all, is_finite, keep, not_finite
from trainers.engine.loop.progress import Progress
from trainers.engine.models import name_base
from trainers.engine.run import Run

CARD = "README.md"
PICKLE = "training_args.bin"
"""What transformers saves of its arguments: a pickle full of this machine's paths that nothing of ours reads."""


class EpochRepeatSampler(RepeatSampler):
    """TRL's sampler with a permutation that depends on the seed and the epoch alone.

    TRL's own continues one random stream, so that a run resumed in its second epoch would see the first one's order.
    """

    def __init__(self, like: RepeatSampler) -> None:
        counts = (like.mini_repeat_count, like.batch_size, like.repeat_count)
        super().__init__(like.data_source, *counts, shuffle=like.shuffle, seed=like.seed or 0)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by transformers before every epoch."""
        self.epoch = epoch

    def __iter__(self) -> Any:
        if self.shuffle:
            self.generator.manual_seed(self.seed + self.epoch)
        return super().__iter__()


class Training(Trainer):
    """Comes before a TRL trainer among the bases; takes that trainer's arguments and two more by keyword.

    run         what was decided before the first process started
    write_card  called with the step by the first process whenever TRL would write its card: puts README.md into OUT;
                checkpoints get a copy
    """

    control: TrainerControl

    def __init__(self, *arguments: Any, run: Run, write_card: Callable[[int], None], **named: Any) -> None:
        self.run, self.write_card = run, write_card
        self._writing: Path | None = None
        self._stopping = False
        self._gradient: float | Tensor | None = None
        self._batches: list[Mapping[str, Any]] = []
        self._step_of_batches = -1
        disable_progress_bar()  # of the files transformers saves; progress is ours
        super().__init__(*arguments, **named)
        for printer in (PrinterCallback, ProgressCallback):
            self.remove_callback(printer)
        self.progress = Progress()
        self.add_callback(self.progress)

    @property
    def out(self) -> Path:
        """Where the model and its checkpoints go."""
        return Path(self.args.output_dir)

    def train(self, resume_from_checkpoint: str | Path | None = None, **named: Any) -> Any:
        """Train to the end. Raises Stopped when asked to stop, after a checkpoint, and NotFinite.

        `resume_from_checkpoint` is what `resume_point` gives; without it OUT must hold no checkpoint.
        """
        point = str(resume_from_checkpoint) if resume_from_checkpoint else None
        if point is None:
            refuse_others(self.out)
        else:
            self.args.eval_on_start = False  # measured by the run that began
            self.progress.seconds_before = seconds_behind(Path(point))
        if self.is_world_process_zero():
            remove_leftovers(self.out)
        self.accelerator.wait_for_everyone()
        try:
            return super().train(resume_from_checkpoint=point, **named)
        except Stopped:
            self.control = self.callback_handler.on_train_end(self.args, self.state, self.control)
            raise
        finally:
            self.progress.close()

    def timing(self) -> dict[str, float]:
        """Seconds of training, those before a resume included, and tokens a second since: no evaluation, no saving."""
        return {"seconds": self.progress.seconds, "tokens_per_second": self.progress.tokens_per_second}

    # --- the order of the rows ---

    def _get_train_sampler(self, *arguments: Any, **named: Any) -> Sampler[int] | None:
        sampler = super()._get_train_sampler(*arguments, **named)
        return EpochRepeatSampler(sampler) if isinstance(sampler, RepeatSampler) else sampler

    def _run_epoch(self, *arguments: Any, **named: Any) -> None:
        """Nothing, when a run goes on from its last step: transformers asks for more steps only behind one more."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*arguments, **named)

    # --- a loss that is no number, and a stop in time ---

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **named: Any) -> Any:
        """TRL's loss, looked at before it is learnt from."""
        result = super().compute_loss(model, inputs, *arguments, **named)
        if self.model.training:
            self._look_at((result[0] if isinstance(result, tuple) else result).detach(), inputs)
        return result

    def _look_at(self, loss: Tensor, inputs: Mapping[str, Any]) -> None:
        process, processes = self.args.process_index, self.args.world_size
        verdict = ask_all(loss, self._gradient, process=process, processes=processes)
        if verdict.gradient:
            self._refuse_gradient()
        if self._step_of_batches != self.state.global_step:
            self._step_of_batches, self._batches = self.state.global_step, []
        self._batches.append(inputs)
        if verdict.loss_of is not None:
            if not is_finite(loss):
                self._keep("loss", self.state.global_step + 1, float(loss), self._batches[-1:])
            self.accelerator.wait_for_everyone()
            raise not_finite(self.run, "loss", self.state.global_step + 1, verdict.loss_of)
        if (
            self.accelerator.sync_gradients
        ):  # the last micro-batch of a step: whoever asks now need not wait for another
            self._stopping = asked_to_stop(self.run)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        self._gradient = super()._get_grad_norm(model, grad_norm=grad_norm)
        return self._gradient

    def _refuse_gradient(self) -> None:
        """The step that is behind us had a gradient that is no number; every process knows, none knows whose it was."""
        self._keep("gradient", self._step_of_batches + 1, float(self._gradient or 0.0), self._batches)
        self.accelerator.wait_for_everyone()
        raise not_finite(self.run, "gradient", self._step_of_batches + 1, None)

    def _keep(self, what: str, step: int, value: float, batches: list[Mapping[str, Any]]) -> None:
        found = Culprit(what, step, self.args.process_index, value, float(self._get_learning_rate()), batches)
        keep(self.run, found, self.processing_class.decode)

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        stopping = self._stopping and self.state.global_step < self.state.max_steps
        self.control.should_save |= stopping
        self.control.should_log |= (
            self.control.should_save
        )  # a mean never spans a checkpoint: resumed means are the same
        super()._maybe_log_save_evaluate(*arguments, **named)
        if stopping:
            raise Stopped.at(self.state.global_step, self.state.max_steps)

    # --- checkpoints ---

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._writing) if self._writing else str(super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """All processes write their parts under a hidden name; then the first one puts the checkpoint in its place."""
        if not is_finite(self._gradient):
            self._refuse_gradient()
        step = self.state.global_step
        if any(path.name == f"checkpoint-{step}" for path in whole_checkpoints(self.out)):
            return  # saved at the end of this step already: an epoch may end with it
        self._writing = writing(self.out, step)
        super()._save_checkpoint(model, trial)
        self._writing = None
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            settle(self.out, step, Mark.of(self.run, seconds=self.progress.seconds))
            keep_newest(self.out, self.args.save_total_limit)
        self.accelerator.wait_for_everyone()

    def save_weights(self, folder: Path) -> None:
        """Save weights, configuration and tokenizer alone; every process calls this, whoever holds the weights."""
        self.save_model(str(folder), _internal_call=True)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict and self._without_ties(state_dict))
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        (folder / PICKLE).unlink(missing_ok=True)
        if folder == self.out:
            self.create_model_card()
            return
        if (folder / "adapter_config.json").exists():
            name_base(folder, self.run.model)
        (folder / CARD).unlink(missing_ok=True)  # PEFT's, which names the base by its path
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.out / CARD, folder / CARD)

    def _without_ties(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Weights that a process of ZeRO-2 hands over as copies of one another, once; transformers ties them again."""
        ties: Mapping[str, str] = self.accelerator.unwrap_model(self.model).all_tied_weights_keys
        copies = {name for name, source in ties.items() if name in state_dict and source in state_dict}
        return {name: weight for name, weight in state_dict.items() if name not in copies}

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Our card, never TRL's; TRL calls this before every checkpoint."""
        if self.is_world_process_zero():
            self.write_card(self.state.global_step)
