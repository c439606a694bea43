"""Find texts that repeat each other, in data sets of any size, and keep one of each.

    python -m builders.dedup answers.parquet more.jsonl.gz --text answer --threshold 0.8 --out build/dedup
    python -m builders.dedup train.parquet --text messages --granularity first-turn --against exam.csv --out build/clean

Candidates meet by MinHash; what decides is the exact Jaccard similarity of their character n-grams. Every removed row
names the kept row that it repeats. A run that is interrupted goes on where it stood.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from schemas.settings import Settings, run_command


class Dedup(Settings):
    """Remove near-duplicates within data sets, across them, and of evaluation sets."""

    command: ClassVar[str] = "dedup"

    inputs: CliPositionalArg[tuple[str, ...]]
    """Data sets: Parquet, JSON Lines (plain, .gz, .zst), CSV, a folder of them, or ORG/NAME[@REVISION][:CONFIG] on the Hub."""
    text: str = "text"
    """What is compared: a column, a path (messages.0.content), or a template over both, e.g. '{instruction}\\n{input}'."""
    granularity: Literal["text", "first-turn", "answer", "dialogue"] = "text"
    """Of a column that holds turns: the patient's first one, the doctor's answers, or all of them."""
    threshold: float = Field(default=0.8, ge=0.01, le=1)
    """Exact Jaccard similarity from which two texts are near-duplicates."""
    ngram: int | None = Field(default=None, ge=1, le=64)
    """Characters a shingle; default: 3 for first turns, 5 for all else. A shorter text is one shingle."""
    fold: str = "nfkc,case,width,punctuation,simplified"
    """What does not count: compatibility forms, case, full width, all but letters and digits, traditional characters."""
    permutations: int = Field(default=128, ge=8, le=1024)
    """Length of the MinHash signature; more of them make fewer comparisons for the same --recall, or a higher one possible."""
    recall: float = Field(default=0.99, ge=0.5, lt=1)
    """Probability with which a pair right at the threshold must be compared; 0.999 costs a little more."""
    mode: Literal["leader", "cluster"] = "leader"
    """leader: no two kept texts are near. cluster: one text of each connected component is kept."""
    keep: str = "first"
    """Which of several is kept: first, longest or best:COLUMN (the largest number); what is equal goes by --id."""
    id: str | None = None
    """Column that names a row; without it a row is called by its file and number."""
    precedence: bool = False
    """What an earlier INPUT holds is kept before what a later one does, whatever --keep says."""
    against: tuple[str, ...] = ()
    """Evaluation set whose items no kept text may give away; repeat for several."""
    against_text: str | None = None
    """What is compared of the evaluation sets; default: the same as of the inputs."""
    index: Path | None = None
    """Folder that remembers what was kept: texts in it count as kept before, what this run keeps is added."""
    pairs: Path | None = None
    """Write every near pair to this Parquet file, however many there are; of exact copies each with the first."""
    out: Path = Path("build/dedup")
    """Folder for kept.parquet, removed.parquet and report.json."""
    dry_run: bool = False
    """Say what would be removed, with examples; write nothing."""
    kernel: Literal["auto", "numpy", "compiled"] = "auto"
    """auto: compiled (needs the extra `fast`) where it pays. Both give the same result."""
    threads: int | None = Field(default=None, gt=0)
    """Cores to use; default: all."""

    @field_validator("keep")
    @classmethod
    def _keep_is_known(cls, value: str) -> str:
        if value not in ("first", "longest") and not value.startswith("best:"):
            raise ValueError(f"expected first, longest or best:COLUMN, got {value!r}")
        return value

    @field_validator("fold")
    @classmethod
    def _fold_is_known(cls, value: str) -> str:
        from builders.engine.dedup.folding import SWITCHES

        if unknown := [name for name in value.split(",") if name and name not in SWITCHES]:
            raise ValueError(f"expected some of {','.join(SWITCHES)}, got {unknown[0]!r}")
        return value


def main(settings: Dedup) -> int:
    """Read, search, write, report."""
    import gc
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here uses
    gc.disable()  # what grows here is arrays; to collect while modules load costs a small job a tenth of its time
    from builders.engine.dedup.job import run

    return run(settings)


if __name__ == "__main__":
    run_command(Dedup, main)
