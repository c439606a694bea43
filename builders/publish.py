"""Publish a release that a builder wrote: one commit, one tag, both read back.

    python -m builders.publish build/instructions --push org/name

Also the command to run after a pull request of `--pr` was merged (it tags the merge), and after a push that was cut
short. Pushing what is there already changes nothing.
"""

import sys
from pathlib import Path
from typing import ClassVar

from pydantic_settings import CliPositionalArg

from schemas.settings import InputError, Settings, run_command


class Publish(Settings):
    """Publish a release folder in a data set repository on the Hugging Face Hub."""

    command: ClassVar[str] = "publish"

    folder: CliPositionalArg[Path]
    """Folder of a release, as a builder wrote it to its --out."""
    push: str
    """Repository to publish it in, e.g. org/name; private unless --public."""
    public: bool = False
    """Make the repository public when it is new, and allow publishing in one that is."""
    pr: bool = False
    """Open a pull request instead of changing main; run this command again without --pr once it is merged."""


def main(settings: Publish) -> int:
    """Check the folder, push it, read it back."""
    from builders.engine.closing import last_line, say_where_it_is
    from builders.engine.errors import Unavailable
    from builders.engine.folder import manifest_of, only_builder_of
    from builders.engine.hub import HubRepo
    from builders.engine.produce import STOPPED
    from builders.engine.push import push

    manifest = manifest_of(settings.folder, "FOLDER")
    try:
        with only_builder_of(settings.folder):
            repo = HubRepo(settings.push)
            pushed = push(settings.folder, repo, repo.head(), public=settings.public, pr=settings.pr)
    except Unavailable as lost:
        print(f"stopped: {lost}; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("ended at once; the same command goes on where it stood", file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        raise InputError(f"{wrong.filename or settings.folder}: {wrong.strerror or wrong}") from None
    say_where_it_is(pushed, settings.folder, manifest["config"], public=settings.public)
    last_line({"version": manifest["version"], "path": str(settings.folder)}, pushed)
    return 0


if __name__ == "__main__":
    run_command(Publish, main)
