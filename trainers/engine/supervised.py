"""Supervised fine-tuning in one process of perhaps many: TRL's trainer over rows that were tokenized and masked before."""

from typing import TYPE_CHECKING, Any

from transformers.utils.logging import disable_progress_bar
from trl import SFTConfig, SFTTrainer

from trainers.engine.finishing import card_so_far, finish
from trainers.engine.loop.allocation import keep_freed_memory
from trainers.engine.loop.checkpoints import resume_point
from trainers.engine.loop.token_means import TokenMeans
from trainers.engine.loop.trackers import report_to
from trainers.engine.loop.training import Training
from trainers.engine.loop.trl_arguments import trl_arguments
from trainers.engine.models import load_model, load_tokenizer, lora_config, lora_of
from trainers.engine.rows.encoding import ordered
from trainers.engine.rows.gathering import MEASURED, PROBE
from trainers.engine.run import Outcome, Run

if TYPE_CHECKING:
    from trainers.sft import Sft


class Supervised(TokenMeans, Training, SFTTrainer):
    """TRL's supervised trainer with our checkpoints, guards, held-out losses and card."""


def fine_tune(run: Run, settings: "Sft") -> Outcome:
    """Train to the end, from the last whole checkpoint where there is one; raises Stopped and InputError."""
    disable_progress_bar()  # of the weights being loaded
    if run.spread.device == "cpu":
        keep_freed_memory()
    held = {name: rows for name in (*MEASURED, PROBE) if (rows := ordered(run.folder, name))}
    lora = lora_of(settings)
    tokenizer = load_tokenizer(run.tokenizer)
    trainer = Supervised(
        model=load_model(run.model, spread=run.spread, attention=settings.attention, lora=lora),
        args=trl_arguments(SFTConfig, arguments(run, settings, evaluate=bool(held)), settings.set),
        train_dataset=ordered(run.folder, "train"),
        eval_dataset=held or None,
        processing_class=tokenizer,
        peft_config=lora_config(*lora) if lora else None,
        run=run,
        write_card=lambda _: card_so_far(trainer),
    )
    trainer.train(resume_from_checkpoint=resume_point(run.out, run))
    return finish(trainer, tokenizer, merge=settings.merge)


def arguments(run: Run, settings: "Sft", *, evaluate: bool) -> dict[str, Any]:
    """What our flags mean in TRL's words; rows come tokenized, masked and no longer than they may be."""
    batches = run.batches
    return {
        "output_dir": str(run.out),
        "per_device_train_batch_size": batches.micro,
        "per_device_eval_batch_size": batches.micro,
        "gradient_accumulation_steps": batches.accumulate,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(settings.warmup * batches.steps),
        "weight_decay": settings.weight_decay,
        "bf16": run.spread.bf16,
        "use_cpu": run.spread.device == "cpu",
        "gradient_checkpointing": settings.checkpointing,
        "max_length": None,
        "padding_free": settings.packing,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": settings.keep,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": settings.eval_every or settings.save_every,
        "eval_on_start": evaluate,
        "report_to": report_to(settings.track, out=run.out),
        "seed": settings.seed,
        "data_seed": settings.seed,
    }
