"""A release goes to the Hub as one commit and one tag, and is read back; the client is the unmodified huggingface_hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars
import pytest
from answers import completion
from conftest import ROOT, Outcome, outcome
from hub_faults import Fault
from hub_repos import Repo
from hub_server import client_env, running_hub

from builders.engine.rehearsal.replies import reply

REPO = "clinic/instructions"
CONFIG = "distilled_instructions"
SMALL = ("--departments", "儿科,骨科", "--roles", "患者", "--license", "cc-by-4.0", "--out", "set")


@pytest.fixture
def hub():
    with running_hub() as running:
        yield running


@pytest.fixture
def push(hub, serve, tmp_path):
    """`push(…)`: a build with a scripted teacher in a process of its own, pushed to the local Hub; `push.asked` counts."""
    asked: list[Any] = []

    async def teach(request):
        asked.append(await request.json())
        return completion(reply(asked[-1]))

    where = ("--teacher", "scripted", "--base-url", f"{serve(teach)}/v1")

    def run(
        *flags: object,
        module: str = "distill_instructions",
        token: str | None = "hf_good",
        to: str | None = REPO,
        env: dict[str, str] | None = None,
    ) -> Outcome:
        words = [*map(str, flags), *(("--push", to) if to else ())]
        command = [sys.executable, "-m", f"builders.{module}", *(where if module != "publish" else ()), *words]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **client_env(hub, tmp_path / "hf", token=token or ""),
            **(env or {}),
        }
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        assert not token or token not in ended.stdout + ended.stderr
        return outcome(ended.returncode, ended.stderr, ended.stdout)

    run.asked = asked
    return run


def loaded(hub, tmp_path, revision: str) -> dict[str, list[str]]:
    """Split -> sorted ids, as `datasets` loads them in a process of its own."""
    script = (
        f"import datasets, json; d = datasets.load_dataset({REPO!r}, {CONFIG!r}, revision={revision!r});"
        "print(json.dumps({name: sorted(split['id']) for name, split in d.items()}))"
    )
    environment = {**os.environ, **client_env(hub, tmp_path / f"hf-{revision}", token="hf_good")}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout.splitlines()[-1])


def ids(folder: str = "set") -> dict[str, list[str]]:
    """Split -> sorted ids of a release folder."""
    found: dict[str, list[str]] = {}
    for path in Path(folder, CONFIG).glob("*.parquet"):
        found.setdefault(path.name.split("-")[0], []).extend(polars.read_parquet(path)["id"])
    return {split: sorted(names) for split, names in found.items()}


def titles(hub) -> list[str]:
    return [commit.title for commit in hub.repos[REPO].commits]


def writes(hub) -> list[str]:
    """What was asked of the Hub that changes something."""
    return [
        path for method, path in hub.requests if method in ("POST", "PUT", "DELETE") and "/api/validate" not in path
    ]


def test_a_release_is_one_private_commit_with_a_tag_at_which_the_rows_load(push, hub, tmp_path):
    made = push(*SMALL, "--rows", 12)
    assert made.code == 0, made.talk
    repo = hub.repos[REPO]
    assert repo.private
    assert titles(hub)[1:] == ["Release v1.0.0"]
    assert repo.tags == {"v1.0.0": repo.head}
    assert made.said["pushed"] == {"repo": REPO, "commit": repo.head, "tag": "v1.0.0", "pull_request": None}
    assert loaded(hub, tmp_path, "v1.0.0") == ids()
    files = repo.files("v1.0.0")
    manifest = json.loads(files["manifest.json"])
    assert set(files) - {".gitattributes"} == {*manifest["files"], "manifest.json"}
    assert files["manifest.json"] == Path("set/manifest.json").read_bytes()
    assert files["README.md"] == Path("set/README.md").read_bytes()


def test_the_next_push_continues_from_the_hub_and_its_version_says_what_happened_to_the_rows(push, hub, tmp_path):
    push(*SMALL, "--rows", 12)
    first = ids()
    shutil.rmtree("set")  # another machine, with the same ledger
    more = push(*SMALL, "--rows", 20)
    assert (more.code, more.said["version"]) == (0, "1.1.0"), more.talk
    assert "8 added, 0 removed, 0 changed, 0 moved" in more.talk
    assert all(set(names) <= set(ids()[split]) for split, names in first.items())
    fewer = push(*SMALL, "--rows", 16)
    assert fewer.said["version"] == "2.0.0"
    changed = push(*SMALL, "--rows", 16, "--seed", 1)
    assert changed.said["version"] == "3.0.0"
    assert set(hub.repos[REPO].tags) == {"v1.0.0", "v1.1.0", "v2.0.0", "v3.0.0"}
    assert loaded(hub, tmp_path, "v1.0.0") == first
    assert loaded(hub, tmp_path, "v3.0.0") == ids()


def test_files_that_the_new_release_has_no_more_are_removed_and_files_of_others_stay(push, hub):
    push(*SMALL, "--rows", 40)
    hub.commit(REPO, {"LICENSE": b"mine"}, "add a licence text")
    push(*SMALL, "--rows", 4)
    files = hub.repos[REPO].files("v2.0.0")
    assert files["LICENSE"] == b"mine"
    manifest = json.loads(files["manifest.json"])
    assert set(files) - {".gitattributes", "LICENSE"} == {*manifest["files"], "manifest.json"}
    assert len(manifest["files"]) < len(json.loads(hub.repos[REPO].files("v1.0.0")["manifest.json"])["files"])


def test_pushing_the_same_again_asks_and_changes_nothing(push, hub):
    push(*SMALL, "--rows", 8)
    asked, changed = len(push.asked), writes(hub)
    again = push(*SMALL, "--rows", 8)
    assert (again.code, again.said["version"], again.said["pushed"]["tag"]) == (0, "1.0.0", "v1.0.0")
    assert "was there already" in again.talk
    assert (len(push.asked), writes(hub)) == (asked, changed)


def test_a_repository_that_moved_since_the_build_read_it_is_not_overwritten(push, hub):
    push(*SMALL, "--rows", 8)
    hub.faults.append(Fault("POST", "/commit/", lambda: hub.commit(REPO, {"notes.md": b"new"}, "somebody else")))
    stale = push(*SMALL, "--rows", 12)
    assert stale.code == 2
    assert "somebody changed the repository since it was read; run again" in stale.talk
    assert stale.said["pushed"] is None
    assert titles(hub)[-1] == "somebody else"
    again = push(*SMALL, "--rows", 12)
    assert (again.code, again.said["calls"], again.said["version"]) == (0, 0, "1.1.0")
    assert hub.repos[REPO].files("v1.1.0")["notes.md"] == b"new"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (("POST", "/tag/", "cut"), 4),
        (("POST", "/tag/", 500), 4),
        (("POST", "/tag/", "lost"), 4),
        (("POST", "/commit/", "lost"), 4),
        (("POST", "/commit/", "cut"), 4),
        (("POST", "/commit/", 503), 4),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_push_that_breaks_off_anywhere_is_finished_by_the_next(push, hub, fault, code):
    hub.faults.append(Fault(*fault))
    broken = push(*SMALL, "--rows", 6)
    assert broken.code == code, broken.talk
    assert "the same command goes on" in broken.talk
    assert broken.said["version"] == "1.0.0"
    asked = len(push.asked)
    mended = push(*SMALL, "--rows", 6)
    assert mended.code == 0, mended.talk
    assert titles(hub)[1:] == ["Release v1.0.0"]
    assert hub.repos[REPO].tags == {"v1.0.0": hub.repos[REPO].head}
    assert len(push.asked) == asked


def test_a_missing_tag_is_repaired_even_when_the_next_release_has_other_rows(push, hub):
    hub.faults.append(Fault("POST", "/tag/", "cut"))
    push(*SMALL, "--rows", 6)
    landed = hub.repos[REPO].head
    hub.commit(REPO, {"notes.md": b"later"}, "an edit in the browser")
    push(*SMALL, "--rows", 9)
    tags = hub.repos[REPO].tags
    assert tags["v1.0.0"] == landed
    assert tags["v1.1.0"] == hub.repos[REPO].head


def test_a_pull_request_is_not_tagged_until_it_is_merged(push, hub):
    hub.repos[REPO] = Repo(REPO, private=True)
    proposed = push(*SMALL, "--rows", 6, "--pr")
    assert proposed.code == 0, proposed.talk
    assert proposed.said["pushed"]["tag"] is None
    assert "/discussions/1" in proposed.said["pushed"]["pull_request"]
    assert hub.repos[REPO].tags == {}
    assert titles(hub) == ["initial commit"]
    assert ": python -m builders.publish set --push clinic/instructions" in proposed.talk
    merged = hub.merge(REPO, 1)
    again = push(*SMALL, "--rows", 6, "--pr")
    assert (again.code, again.said["pushed"]["tag"], again.said["pushed"]["commit"]) == (0, None, merged), again.talk
    assert "without a tag; run again without --pr to tag it" in again.talk
    tagged = push("set", module="publish")
    assert tagged.code == 0, tagged.talk
    assert hub.repos[REPO].tags == {"v1.0.0": merged}


def test_what_people_write_into_the_card_on_the_hub_stays(push, hub):
    push(*SMALL, "--rows", 6)
    card = hub.repos[REPO].files("main")["README.md"].decode()
    edited = card.replace("pretty_name:", "extra_gated_prompt: Ask first.\npretty_name:", 1)
    edited = (
        edited.replace("\n<!-- generated:", "\nWritten by hand, on top.\n\n<!-- generated:", 1)
        + "\n## Citation\n\nZhang 2026\n"
    )
    hub.commit(REPO, {"README.md": edited.encode()}, "an edit in the browser")
    assert push(*SMALL, "--rows", 9).code == 0
    kept = hub.repos[REPO].files("v1.1.0")["README.md"].decode()
    assert (
        kept.index("Written by hand, on top.") < kept.index("<!-- generated:") < kept.index("## Citation\n\nZhang 2026")
    )
    assert kept.count("<!-- generated:") == kept.count("## Citation") == 1
    assert "extra_gated_prompt: Ask first." in kept
    assert "9 rows made by" in kept
    assert Path("set/README.md").read_text() == kept
    assert push(*SMALL, "--rows", 12).code == 0  # and the folder and the Hub do not disagree afterwards


def edit_here(words: str) -> None:
    with Path("set/README.md").open("a") as card:
        card.write(f"\n{words}\n")


def edit_there(hub, words: str) -> None:
    card = hub.repos[REPO].files("main")["README.md"]
    hub.commit(REPO, {"README.md": card + f"\n{words}\n".encode()}, "an edit in the browser")


def test_words_written_here_or_there_go_on_and_when_both_changed_it_is_said(push, hub):
    push(*SMALL, "--rows", 6, to=None)
    edit_here("Written here.")
    push(*SMALL, "--rows", 6)
    assert b"Written here." in hub.repos[REPO].files("v1.0.0")["README.md"]
    shutil.copytree("set", "behind")
    edit_there(hub, "Written there.")
    push(*SMALL, "--rows", 8)
    edit_here("More from here.")
    push(*SMALL, "--rows", 10)
    both = hub.repos[REPO].files("v1.2.0")["README.md"].decode()
    assert "Written here.\n\nWritten there.\n\nMore from here." in both
    shutil.rmtree("set")
    Path("behind").rename("set")  # another machine, whose card is older
    push(*SMALL, "--rows", 12)
    assert both[both.rindex("-->") :] in hub.repos[REPO].files("v1.3.0")["README.md"].decode()
    edit_here("One thing.")
    edit_there(hub, "Another thing.")
    differing = push(*SMALL, "--rows", 14)
    assert differing.code == 2
    assert "differ; make the folder's like the Hub's" in differing.talk


def test_rows_of_the_rehearsal_are_refused(push, hub, distill):
    flags = (*SMALL, "--rows", 4)
    early = distill("--teacher", "rehearsal", *flags, "--push", REPO)
    assert early.code == 2
    assert early.talk.strip().endswith("--push: --teacher is the rehearsal; its rows stay here")
    distill("--teacher", "rehearsal", *flags)
    late = push("set", module="publish")
    assert late.code == 2
    assert "rows are from the rehearsal; such rows stay here" in late.talk
    assert writes(hub) == []


def test_rows_without_a_licence_are_refused(push, hub):
    unlicensed = tuple(flag for flag in SMALL if flag not in ("--license", "cc-by-4.0"))
    early = push(*unlicensed, "--rows", 4)
    assert early.code == 2
    assert "name the licence of the rows" in early.talk
    assert push.asked == []
    push(*unlicensed, "--rows", 4, to=None)
    late = push("set", module="publish")
    assert late.code == 2
    assert "4 rows have no licence; build again with --license" in late.talk
    assert writes(hub) == []


def test_a_tag_that_something_else_has_is_passed_over(push, hub):
    hub.repos[REPO] = Repo(REPO, private=True)
    hub.repos[REPO].tags["v1.0.0"] = hub.repos[REPO].head
    made = push(*SMALL, "--rows", 4)
    assert (made.code, made.said["version"]) == (0, "1.1.0"), made.talk
    again = push(*SMALL, "--rows", 4)
    assert (again.code, again.said["version"], again.said["pushed"]["tag"]) == (0, "1.1.0", "v1.1.0"), again.talk


def test_a_public_repository_needs_to_be_named_as_such(push, hub):
    hub.repos[REPO] = Repo(REPO, private=False)
    refused = push(*SMALL, "--rows", 4)
    assert refused.code == 2
    assert "the repository is public; say --public if that is meant" in refused.talk
    assert push.asked == []
    assert push(*SMALL, "--rows", 4, "--public").code == 0
    assert push(*SMALL, "--rows", 4, "--public", to="clinic/new").code == 0
    assert not hub.repos["clinic/new"].private


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (None, "no token; set HF_TOKEN"),
        ("hf_wrong", "does not know this token"),
        ("hf_read", "may not do that"),
        ("hf_gööd", "HF_TOKEN holds characters that no token has"),
    ],
)
def test_a_token_that_cannot_push_is_said_so_before_anything_is_asked(push, hub, token, says):
    hub.repos[REPO] = Repo(REPO, private=True)
    refused = push(*SMALL, "--rows", 4, token=token)
    assert refused.code == 2
    assert says in refused.talk
    assert push.asked == []


def test_nothing_of_what_was_rejected_leaves_but_ids_and_reasons(push, hub):
    made = push(*SMALL, "--rows", 12, "--min-answer", 230)
    assert made.said["rejected"], "this build is meant to reject something"
    rejected = polars.read_parquet("set/rejected/*.parquet")
    stored = b"\n".join([*hub.repos[REPO].files("v1.0.0").values(), *hub.repos[REPO].objects.values()]).decode(
        errors="replace"
    )
    assert not any(detail in stored for detail in rejected["detail"])
    told = [json.loads(line) for line in hub.repos[REPO].files("v1.0.0")["reports/rejected.jsonl"].splitlines()]
    assert sorted(one["reason"] for one in told) == sorted(rejected["reason"])
    assert {frozenset(one) for one in told} == {frozenset({"id", "reason"})}


def test_a_build_without_push_says_nothing_to_the_hub(push, hub):
    assert push(*SMALL, "--rows", 4, to=None).code == 0
    assert hub.requests == []


def test_a_folder_that_was_changed_or_goes_on_from_another_release_is_refused(push, hub):
    push(*SMALL, "--rows", 8)
    push(*SMALL, "--rows", 12, "--out", "other", "--seed", 1, to=None)
    other = push("other", module="publish")
    assert other.code == 2
    assert (
        "v1.0.0 is taken there; build with --push, which continues from the Hub and takes a free version" in other.talk
    )
    manifest = json.loads(Path("other/manifest.json").read_text())
    Path("other/manifest.json").write_text(json.dumps({**manifest, "version": "1.1.0"}))
    claimed = push("other", module="publish")
    assert claimed.code == 2
    assert "this is at least v2.0.0, and the folder says v1.1.0" in claimed.talk
    shard = next(Path("set", CONFIG).glob("train-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    changed = push("set", module="publish")
    assert changed.code == 2
    assert f"{shard} is not the file that manifest.json names" in changed.talk


def test_a_pull_request_that_is_open_is_not_opened_again(push, hub):
    push(*SMALL, "--rows", 6, "--pr")
    again = push(*SMALL, "--rows", 6, "--pr")
    assert again.code == 2
    assert "pull request 1 proposes v1.0.0; merge or close it first" in again.talk


def test_files_that_would_be_loaded_with_ours_or_kept_out_by_a_gitignore_are_named(push, hub):
    hub.repos[REPO] = Repo(REPO, private=True)
    hub.commit(REPO, {f"{CONFIG}/train-old.parquet": b"PAR1"}, "somebody's data")
    strange = push(*SMALL, "--rows", 6)
    assert strange.code == 2
    assert f"holds {CONFIG}/train-old.parquet, which no release made" in strange.talk
    hub.commit(REPO, {".gitignore": b"*.parquet"}, "ignore", delete=[f"{CONFIG}/train-old.parquet"])
    ignored = push(*SMALL, "--rows", 6)
    assert ignored.code == 2
    assert f"the .gitignore there keeps out {CONFIG}/" in ignored.talk
    assert "v1.0.0" not in hub.repos[REPO].tags


def test_a_file_that_is_gone_from_the_folder_is_written_again(push, hub):
    push(*SMALL, "--rows", 6)
    shard = next(Path("set", CONFIG).glob("train-*"))
    whole = shard.read_bytes()
    shard.unlink()
    assert push(*SMALL, "--rows", 6).code == 0
    assert shard.read_bytes() == whole


def test_a_hub_that_gives_back_something_else_is_noticed(push, hub):
    def spoil():
        repo = hub.repos[REPO]
        shard = next(oid for oid, data in repo.objects.items() if data.startswith(b"PAR1"))
        repo.objects[shard] = repo.objects[shard][:-1] + b"?"

    hub.faults.append(Fault("POST", "/tag/", spoil))
    spoilt = push(*SMALL, "--rows", 6)
    assert spoilt.code == 2
    assert "is not the file that manifest.json names" in spoilt.talk


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://host:port", "HF_ENDPOINT is no address"),
        ("https://me:secret@mirror", "HF_ENDPOINT carries a credential"),
    ],
)
def test_an_address_of_the_hub_that_is_none_or_holds_a_secret_is_not_used(push, monkeypatch, address, says):
    refused = push(*SMALL, "--rows", 4, env={"HF_ENDPOINT": address})
    assert refused.code == 2
    assert says in refused.talk
    assert "secret" not in refused.talk
    assert push.asked == []


def test_a_place_that_is_somebody_elses_and_a_card_that_cannot_be_read_are_one_line(push, hub):
    stranger = push(*SMALL, "--rows", 4, to="somebody-else/set")
    assert stranger.code == 2
    assert "somebody-else is neither this token's user nor one of its organisations" in stranger.talk
    hub.repos[REPO] = Repo(REPO, private=True)
    hub.commit(REPO, {"README.md": "# 数据".encode("gb18030")}, "a card in another encoding")
    odd = push(*SMALL, "--rows", 4)
    assert odd.code == 2
    assert "README.md there is not UTF-8 text" in odd.talk
    assert push.asked == []


def test_a_recipe_cannot_make_data_leave(push, hub):
    Path("mine.toml").write_text('[distill_instructions]\npush = "clinic/instructions"\n')
    refused = push(*SMALL, "--recipe", "mine.toml", to=None)
    assert refused.code == 2
    assert "push belongs on the command line" in refused.talk
    assert hub.requests == []


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "org/na me", "/x"])
def test_a_name_that_is_none_is_refused_at_once(push, name):
    refused = push(*SMALL, "--rows", 4, to=name)
    assert refused.code == 2
    assert f"--push {name}: expected ORG/NAME" in refused.talk


def test_a_hub_that_cannot_be_reached_stops_before_anything_is_asked(push, hub):
    hub.faults.append(Fault("GET", "/api/datasets/", "cut", times=9))
    lost = push(*SMALL, "--rows", 4)
    assert lost.code == 4
    assert "cannot be reached" in lost.talk
    assert push.asked == []
