"""A release takes its place whole: whatever stops it half way, the next build puts it right."""

import contextlib
import json
import os
import signal
from pathlib import Path

import polars
import pytest
from folders import files_of, manifest_is_true

from builders.engine import folder
from schemas.settings import InputError

ONE = ("--teacher", "rehearsal", "--departments", "儿科,骨科", "--roles", "患者", "--out", "set")


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@contextlib.contextmanager
def killed_after(moves):
    """Inside, a process does so many file moves, and the next one is the last thing it tries."""
    left = [moves]
    replace = Path.replace

    def move(self, target):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", move)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("moves", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("again", [30, 12])
def test_a_build_killed_while_its_release_takes_its_place_is_finished_by_the_next(distill, moves, again):
    distill(*ONE, "--rows", 12)
    distill(*ONE, "--rows", 12, "--out", "mirror")
    with killed_after(moves):
        distill(*ONE, "--rows", 30)
    made = distill(*ONE, "--rows", again)
    assert made.code == 0
    assert manifest_is_true(Path("set"))
    assert polars.read_parquet("set/distilled_instructions/*.parquet").height == again
    if again == 30:
        undisturbed = distill(*ONE, "--rows", 30, "--out", "mirror")
        assert made.said["version"] == undisturbed.said["version"]
        assert files_of(Path("set")) == files_of(Path("mirror"))
    assert [path.name for path in Path().iterdir() if path.name.startswith(".set")] == []


def test_ctrl_c_while_a_release_is_written_waits_for_it(process):
    """The signal comes as soon as the draft appears."""
    child = process(*ONE, "--rows", 400)
    while not Path(".set.new").exists() and child.poll() is None:
        os.sched_yield()
    child.send_signal(signal.SIGINT)
    out, talk = child.communicate(timeout=60)
    assert child.returncode == 0, talk
    assert json.loads(out.splitlines()[-1])["version"] == "1.0.0"


@pytest.mark.parametrize("name", ["../victim.txt", "/tmp/suwen-victim.txt", "inner/../../victim.txt"])
def test_a_manifest_that_names_files_outside_its_folder_is_refused(distill, name):
    distill(*ONE, "--rows", 4)
    Path("victim.txt").write_text("mine")
    manifest = json.loads(Path("set/manifest.json").read_text())
    Path("set/manifest.json").write_text(json.dumps({**manifest, "files": {**manifest["files"], name: {}}}))
    made = distill(*ONE, "--rows", 6)
    assert made.code == 2
    assert "names a file outside the folder" in made.talk
    assert Path("victim.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["1", "null", "[]", "{", '{"version": "1.0", "content": "", "config": "distilled_instructions", "files": {}}',
             '{"version": "1.0.0", "content": "", "config": "distilled_instructions", "files": 5}'],
)  # fmt: skip
def test_a_damaged_manifest_is_one_line_before_anything_is_asked(distill, text):
    Path("set").mkdir()
    Path("set/manifest.json").write_text(text)
    made = distill(*ONE, "--rows", 4)
    assert made.code == 2
    assert made.talk.splitlines()[-1].startswith("distill_instructions: --out set: manifest.json")


def test_a_parquet_file_of_the_users_own_is_neither_counted_nor_removed(distill):
    distill(*ONE, "--rows", 6)
    shard = next(Path("set/distilled_instructions").glob("train-*.parquet"))
    Path("set/distilled_instructions/mine.parquet").write_bytes(shard.read_bytes())
    made = distill(*ONE, "--rows", 8)
    assert made.code == 0
    assert "0 removed, 0 changed" in made.talk
    assert Path("set/distilled_instructions/mine.parquet").exists()


def test_a_fresh_clone_with_nothing_but_git_in_it_is_a_fine_place(distill):
    Path("set/.git").mkdir(parents=True)
    Path("set/.gitattributes").write_text("*.parquet filter=lfs")
    assert distill(*ONE, "--rows", 4).code == 0
    assert Path("set/.gitattributes").exists()


def test_only_one_build_at_a_time_holds_a_folder():
    mine = Path("set")
    with folder.only_builder_of(mine), pytest.raises(InputError, match="another build"), folder.only_builder_of(mine):
        pass
    with folder.only_builder_of(mine):
        pass
    assert not Path(".set.lock").exists()
