"""One supervised run in the making: tokenizer, rows, checks, and then the record that every process reads."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.hub_address import one_line
from schemas.settings import InputError
from trainers.engine.data import Renderer
from trainers.engine.describing import facts_before, trained_on
from trainers.engine.finishing import FACTS
from trainers.engine.launching.launch import batch_maths, choose_spread
from trainers.engine.memory import Load, ModelShape, estimate, of_gpus, ways_to_fit
from trainers.engine.models import NEW, LoraChoice, attention_kernel, load_tokenizer, lora_of
from trainers.engine.opening import fresh_folder, recorded
from trainers.engine.preflight import Report, examine, memory_check, refuse
from trainers.engine.rows.data_sets import Conversation, Opened
from trainers.engine.rows.encoding import in_parts, put_in_order
from trainers.engine.rows.gathering import Gathered, HeldOut, gather, hold_out
from trainers.engine.rows.tally import Tally
from trainers.engine.run import BASE, Batches, ModelChoice, Outcome, Run, Spread
from trainers.engine.templates import adopt, choose_template

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from trainers.sft import Sft


class _Sized(NamedTuple):
    """How large the model is, and how it is spread."""

    config: "PreTrainedConfig"
    shape: ModelShape
    spread: Spread


class Preparation:
    """One run in the making; `run` is its order of events."""

    def __init__(self, settings: "Sft", model: ModelChoice, sets: Sequence[Opened], out: Path) -> None:
        self.settings, self.model, self.sets, self.out = settings, model, sets, out
        self.folder = fresh_folder(out)
        self.tally = Tally()

    def run(self, mark: str) -> Run | Outcome:
        """Tokenizer, rows, checks, and then the record that every process reads."""
        settings = self.settings
        self._make_model()
        config, shape = self._shape()
        tokenizer = load_tokenizer(self.model)
        template = choose_template(tokenizer, settings.template)
        stops = adopt(tokenizer, template)
        renderer = Renderer(tokenizer, max_length=settings.max_length)
        gathered = gather(self.sets, renderer, self.folder, self.tally, seed=settings.seed, say=say)
        self._check_positions(config)
        held_out = hold_out(
            self.sets,
            renderer,
            self.folder,
            most=settings.eval_rows,
            seed=settings.seed,
            say=say,
            trained=gathered.trained,
        )
        sized = self._sized(config, shape)
        report = self._examined(gathered, held_out, sized, renderer)
        print(report.text(), file=sys.stderr)
        refuse(report)
        batches = self._in_order(gathered, sized.spread)
        run = Run(
            command=settings.command,
            settings=settings.model_dump(mode="json"),
            out=settings.out,
            model=self.model,
            template=template.name,
            stop_ids=stops,
            batches=batches,
            spread=sized.spread,
            fingerprint=mark,
        )
        say(_plan(run))
        if settings.dry_run:
            return Outcome(code=0, figures=_dry(run, report, gathered))
        self._write(run, tokenizer, report, gathered, held_out, sized)
        return run

    def _make_model(self) -> None:
        """A model made on the spot learns its tokenizer from the rows."""
        if self.model.name not in NEW:
            return
        from trainers.engine.new_models import make_new

        say(f"making {self.model.name}")
        base = self.out / BASE
        make_new(self.model.name, _said(self.sets), base, self.settings.seed)
        self.model = self.model.model_copy(update={"path": str(base.resolve())})

    def _shape(self) -> "tuple[PreTrainedConfig, ModelShape]":
        """What the model is, and how large, adapters included; before any row is rendered."""
        from transformers import AutoConfig

        settings = self.settings
        _check_attention(settings.attention)
        try:
            config = AutoConfig.from_pretrained(self.model.path, revision=self.model.revision, trust_remote_code=False)
            shape = ModelShape.of_config(config, lora=lora_of(settings), eager=settings.attention == "eager")
        except (ValueError, KeyError, OSError) as wrong:
            targets = ",".join(settings.lora_targets)
            blamed = f"--lora-targets {targets}" if "arget modules" in str(wrong) else f"--model {self.model.name}"
            raise InputError(f"{blamed}: {one_line(wrong)}") from None
        return config, shape

    def _check_positions(self, config: "PreTrainedConfig") -> None:
        """A model has as many positions as it was made with; behind them it stops, or says anything."""
        longest = max(self.tally.lengths, default=0)
        positions: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)  # ALiBi has none
        if positions and longest > positions:
            raise InputError(
                f"--max-length {self.settings.max_length}: the longest row has {longest:,} tokens, and {self.model.name} has "
                f"{positions:,} positions; --max-length {positions} at most"
            )

    def _sized(self, config: "PreTrainedConfig", shape: ModelShape) -> _Sized:
        settings = self.settings
        spread = choose_spread(
            settings.profile,
            settings.processes,
            settings.precision,
            fits=lambda spread: self._fits(shape, spread),
        )
        if settings.attention.startswith("flash") and spread.device == "cpu":
            raise InputError(f"--attention {settings.attention}: needs a GPU, and this run is on a CPU")
        return _Sized(config, shape, spread)

    def _fits(self, shape: ModelShape, spread: Spread) -> bool:
        room = self._room()
        return room is None or estimate(shape, self._planned(spread), self._load(spread)).total <= room

    def _room(self) -> float | None:
        return self.settings.gpu_memory or min(of_gpus(), default=None)

    def _adapters(self, config: "PreTrainedConfig") -> ModelShape | None:
        """The same model under --lora 16, to say what would fit; None when it has adapters already."""
        return None if self.settings.lora else ModelShape.of_config(config, lora=LoraChoice(16))

    def _planned(self, spread: Spread) -> Spread:
        """With --gpu-memory on a machine that has no GPU, the run as it would be on one that has."""
        if self.settings.gpu_memory is None or spread.device == "cuda":
            return spread
        return spread.model_copy(update={"device": "cuda", "bf16": self.settings.precision != "fp32"})

    def _load(self, spread: Spread) -> Load:
        """What a process holds at once."""
        settings = self.settings
        return Load(
            micro=settings.micro_batch,
            length=settings.max_length if settings.packing else max(self.tally.lengths, default=1),
            checkpointing=settings.checkpointing,
            packed=settings.packing,
            flash=attention_kernel(settings.attention, spread) == "flash_attention_2",
        )

    def _examined(self, gathered: Gathered, held_out: HeldOut, sized: _Sized, renderer: Renderer) -> Report:
        load, spread = self._load(sized.spread), self._planned(sized.spread)
        memory = memory_check(
            estimate(sized.shape, spread, load),
            self._room(),
            lambda room: ways_to_fit(sized.shape, spread, load, room=room, adapters=self._adapters(sized.config)),
        )
        return examine(
            self.tally,
            held_out=held_out.rows.get("held_out", 0),
            leaks=held_out.leaks,
            memory=memory,
            micro=self.settings.micro_batch,
            unmeasured=held_out.unmeasured,
            shares=gathered.shares,
            samples=[renderer.marked(sample, ansi=sys.stderr.isatty()) for sample in gathered.samples],
        )

    def _in_order(self, gathered: Gathered, spread: Spread) -> Batches:
        """Put the rows in their order, side by side if they are to be, and count the steps."""
        settings = self.settings
        put_in_order(self.folder, "train", gathered.order)
        sequences = len(gathered.order)
        if settings.packing:
            from trainers.engine.rows.packing import pack, packed_table

            packs = pack(gathered.lengths, settings.max_length)
            packed_table(in_parts(self.folder, "train"), packs, self.folder / "train.arrow")
            sequences = len(packs)
            say(
                f"packed {len(gathered.order):,} rows into {sequences:,} of {settings.max_length:,} tokens, "
                f"{packs.fill(gathered.lengths, settings.max_length):.1%} full"
            )
        round_ = settings.micro_batch * spread.processes
        if spread.processes > 1 and (again := -sequences % round_):
            say(f"{again} sequences come twice in an epoch, so that every process has as many")
        return batch_maths(
            sequences=sequences,
            batch=settings.batch,
            micro=settings.micro_batch,
            processes=spread.processes,
            epochs=settings.epochs,
            max_steps=settings.max_steps,
        )

    def _write(
        self,
        run: Run,
        tokenizer: "PreTrainedTokenizerBase",
        report: Report,
        gathered: Gathered,
        held_out: HeldOut,
        sized: _Sized,
    ) -> None:
        """Everything the processes read; run.json last."""
        tokenizer.save_pretrained(run.tokenizer)
        facts = facts_before(
            run,
            self.settings,
            recorded=recorded(self.settings),
            data=trained_on(self.sets, gathered.drawn),
            shape=sized.shape,
            report=report,
            held_out=held_out,
            architecture=type(sized.config).__name__.removesuffix("Config"),
            not_drawn=sum(one.size("train") for one in self.sets) - sum(one.read for one in self.tally.sets.values()),
        )
        (run.folder / FACTS).write_text(facts.model_dump_json(indent=1), encoding="utf-8")
        (run.folder / "preflight.json").write_text(
            json.dumps(report.record(), ensure_ascii=False, indent=1), encoding="utf-8"
        )
        run.save()


def _check_attention(name: str) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    known = ("auto", "eager", *sorted(ALL_ATTENTION_FUNCTIONS.valid_keys()))
    if name not in known and "/" not in name:  # ORG/NAME is a kernel on the Hub
        raise InputError(f"--attention {name}: transformers knows {', '.join(known)}")


def _said(sets: Iterable[Opened]) -> Iterator[str]:
    for one in sets:
        for row in one.read("train"):
            if isinstance(row, Conversation):
                yield from (said.content for said in row.messages)


def say(line: str) -> None:
    """Tell people what goes on, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _plan(run: Run) -> str:
    maths, spread = run.batches, run.spread
    return (
        f"plan: {maths.steps:,} steps of {maths.batch} = {maths.micro} x {maths.accumulate} accumulated x "
        f"{maths.processes} processes, {maths.epochs:g} epochs; {spread.profile} on {spread.device}, "
        f"{'bf16' if spread.bf16 else 'fp32'}; template {run.template}"
    )


def _dry(run: Run, report: Report, gathered: Gathered) -> dict[str, Any]:
    return {
        "dry_run": True,
        "steps": run.batches.steps,
        "rows": len(gathered.order),
        "tokens": int(gathered.lengths.sum()),
        "answer_tokens": sum(one.answer_tokens for one in gathered.drawn),
        "left_out": sum(report.left_out.values()),
        "profile": run.spread.profile,
        "processes": run.spread.processes,
    }
