"""Join builds into one data set of several configs, and publish it: one commit, one tag, both read back.

    python -m builders.publish build/instructions build/qa build/dialogues --against exam.csv --out build/set
    python -m builders.publish build/set --push org/name

Rows that repeat each other are removed across all configs, and so is what gives an evaluation item away; the splits are
cut over everything at once. A folder on its own with --push is published as it is: also the command to run after a pull
request of `--pr` was merged (it tags the merge), and after a push that was cut short. What is there already stays.
"""

import sys
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from schemas.settings import InputError, Settings, run_command

AS_IT_IS = {"folders", "push", "public", "pr", "recipe"}
"""Settings that say something of a folder that is published as it is."""


class Publish(Settings):
    """Join release folders of builders into one release of several configs, and publish it on the Hugging Face Hub."""

    command: ClassVar[str] = "publish"

    folders: CliPositionalArg[tuple[Path, ...]] = Field(min_length=1)
    """Folders of releases, as builders wrote them to their --out; one alone with --push and no --out is pushed as it is."""
    out: Path | None = None
    """Folder to write the joined release to; it is a Hub repository as it stands."""
    against: tuple[str, ...] = ()
    """Evaluation set whose items no row may give away (near, half of its 13-grams, 64 characters in a row); repeat for several."""
    against_text: str | None = None
    """What is compared of the evaluation sets: a column, a path or a template over columns; default: their column messages."""
    order: tuple[str, ...] = ()
    """Configs by precedence, as A,B,…: of rows that repeat each other the earlier config's is kept; the others follow as given."""
    mix: str | None = None
    """Rows to take of configs, as CONFIG=ROWS,… (the others whole); huatuo: HuatuoGPT's 61,400 distilled_instructions, 69,768
    polished_qa, 68,888 simulated_dialogues and 25,986 real_dialogues; huatuo/100: a hundredth of each, rounded half up.
    """
    max_jaccard: float = Field(default=0.8, ge=0.01, le=1)
    """Exact Jaccard similarity from which two rows are near-duplicates, and one of them is removed."""
    granularity: Literal["dialogue", "first-turn", "answer"] = "dialogue"
    """What of `messages` is compared: all that is said, the patient's first turn, or the answers."""
    license: str = ""
    """SPDX id of the licence of rows that state none; the others keep theirs. Rows without one are not pushed."""
    previous: Path | None = None
    """Release to continue: rows still there keep their split, the version says what changed; default: on the Hub, else in --out."""
    seed: int = 0
    """Decides which rows --mix takes."""
    short: bool = False
    """Release what is left when there are fewer rows than --mix asks for, or a config has none."""
    push: str | None = None
    """Publish the release in this Hub repository, e.g. org/name; private unless --public. Nothing leaves without it."""
    public: bool = False
    """With --push: make the repository public when it is new, and allow publishing in one that is."""
    pr: bool = False
    """With --push: open a pull request; once it is merged, publish the folder again without --pr, which tags it."""

    @field_validator("order", mode="after")
    @classmethod
    def _order_names_each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if double := [name for number, name in enumerate(value) if name in value[:number]]:
            raise ValueError(f"{double[0]} is named twice")
        return value

    @field_validator("mix")
    @classmethod
    def _mix_can_be_read(cls, value: str | None) -> str | None:
        from builders.engine.publication.mix import mix_of

        mix_of(value)
        return value


def main(settings: Publish) -> int:
    """Join the folders, or push one as it is."""
    if settings.out:
        from builders.engine.publication.job import publish

        return publish(settings, settings.out)
    others = sorted(settings.model_fields_set - AS_IT_IS)
    if len(settings.folders) > 1 or others or not settings.push:
        what = f"--{others[0].replace('_', '-')}" if others else "--out"
        raise InputError(f"{what}: say with --out DIR where to write the joined release")
    return _push_as_it_is(settings.folders[0], settings.push, public=settings.public, pr=settings.pr)


def _push_as_it_is(folder: Path, push_to: str, *, public: bool, pr: bool) -> int:
    """Check the folder, push it, read it back."""
    from builders.engine.closing import last_line, say_where_it_is
    from builders.engine.errors import Unavailable
    from builders.engine.folder import configs_of, manifest_of, only_builder_of
    from builders.engine.hub import HubRepo
    from builders.engine.produce import STOPPED
    from builders.engine.push import push

    manifest = manifest_of(folder, "FOLDER")
    try:
        with only_builder_of(folder):
            repo = HubRepo(push_to)
            pushed = push(folder, repo, repo.head(), public=public, pr=pr)
    except Unavailable as lost:
        print(f"stopped: {lost}; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("ended at once; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        raise InputError(f"{wrong.filename or folder}: {wrong.strerror or wrong}") from None
    say_where_it_is(pushed, folder, configs_of(manifest)[0], public=public)
    last_line({"version": manifest["version"], "path": str(folder)}, pushed)
    return 0


if __name__ == "__main__":
    run_command(Publish, main)
