"""The Hub of the tests is Hub enough: the real clients, in a process of their own, cannot tell."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_faults import Fault
from hub_repos import Repo
from hub_server import Hub, client_env, running_hub

OPENING = """
import json
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi

api, said = HfApi(), {}
where = {"repo_id": "org/name", "repo_type": "dataset"}

def tried(call, *arguments, **options):
    try:
        call(*arguments, **options)
        return "done"
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", "")
        return f"{type(error).__name__} {status}".strip()

def commit(title, *operations, **options):
    return api.create_commit(**where, operations=operations, commit_message=title, **options)
"""
CARD = b"---\nconfigs:\n- config_name: advice\n  data_files:\n  - split: train\n    path: advice/train-*\n---\n"

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Ask:
    """`ask(script)`: what a client leaves in `said`."""

    def call(script: str, token: str = "hf_good") -> dict[str, Any]:
        code = f"{OPENING}\n{script}\nprint(json.dumps(said))"
        env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        env |= client_env(hub, tmp_path / "home", token)
        ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return call


@pytest.fixture
def repo(hub: Hub) -> Repo:
    """A public repository with a card and a file in LFS."""
    hub.repos["org/name"] = Repo("org/name")
    hub.commit("org/name", {"README.md": CARD, "advice/train-0.parquet": b"PAR1"}, "v1")
    return hub.repos["org/name"]


def test_a_data_set_is_created_committed_tagged_and_loaded_at_its_tag(hub, ask):
    said = ask(f"""
import datasets, polars

polars.DataFrame({{"id": ["甲", "乙"], "n": [1, 2]}}).write_parquet("train.parquet")
api.create_repo(**where, private=True)
said["again"] = tried(api.create_repo, **where), tried(api.create_repo, **where, exist_ok=True)
old = api.dataset_info("org/name").sha
made = commit("v1", Add("README.md", {CARD!r}), Add("advice/train-0.parquet", "train.parquet"), parent_commit=old)
said["stale"] = tried(commit, "v2", Add("notes/说明.txt", b"x"), parent_commit=old)
api.create_tag(**where, tag="v1.0.0", revision=made.oid)
said["tags"] = tried(api.create_tag, **where, tag="v1.0.0"), tried(api.create_tag, **where, tag="v2", revision="nope")
commit("notes", Add("notes/说明.txt", "说明".encode()), Delete("advice/"), parent_commit=made.oid)
said["rows"] = datasets.load_dataset("org/name", "advice", revision="v1.0.0", split="train")[:]
said["streamed"] = list(datasets.load_dataset("org/name", "advice", revision="v1.0.0", split="train", streaming=True))
said["sha"] = made.oid, api.dataset_info("org/name", revision="v1.0.0").sha, api.list_repo_refs(**where).tags[0].target_commit
said["main"] = [entry.path for entry in api.list_repo_tree(**where, recursive=True)]
said["notes"] = open(api.hf_hub_download(**where, filename="notes/说明.txt"), encoding="utf-8").read()
said["missing"] = tried(api.hf_hub_download, **where, filename="advice/train-0.parquet")
""")
    repo = hub.repos["org/name"]
    assert repo.private
    assert [commit.title for commit in repo.commits] == ["initial commit", "v1", "notes"]
    assert set(repo.files("v1.0.0")) == {".gitattributes", "README.md", "advice/train-0.parquet"}
    assert repo.at("v1.0.0").tree["advice/train-0.parquet"].lfs
    assert said["again"] == ["HfHubHTTPError 409", "done"]
    assert said["stale"] == "HfHubHTTPError 412"
    assert said["tags"] == ["HfHubHTTPError 409", "RevisionNotFoundError 404"]
    assert said["rows"] == {"id": ["甲", "乙"], "n": [1, 2]}
    assert said["streamed"] == [{"id": "甲", "n": 1}, {"id": "乙", "n": 2}]
    assert said["sha"] == [repo.commits[1].oid] * 3
    assert said["main"] == [".gitattributes", "README.md", "notes", "notes/说明.txt"]
    assert (said["notes"], said["missing"]) == ("说明", "RemoteEntryNotFoundError 404")


def test_a_pull_request_leaves_main_alone_until_somebody_merges_it(hub, ask, repo):
    before = repo.head
    said = ask("""
old = api.dataset_info("org/name").sha
made = commit("Reword", Add("README.md", b"new"), create_pr=True, parent_commit=old)
commit("Reword more", Add("extra.txt", b"more"), revision=made.pr_revision)
said["made"] = made.pr_num, made.pr_url, made.pr_revision
said["there"] = open(api.hf_hub_download(**where, filename="README.md", revision="refs/pr/1")).read()
said["open"] = [(found.num, found.title, found.status) for found in api.get_repo_discussions(**where)]
said["refs"] = [ref.ref for ref in api.list_repo_refs(**where, include_pull_requests=True).pull_requests]
""")
    assert said["made"] == [1, f"{hub.url}/datasets/org/name/discussions/1", "refs/pr/1"]
    assert (said["there"], said["open"], said["refs"]) == ("new", [[1, "Reword", "open"]], ["refs/pr/1"])
    assert (repo.head, repo.files()["README.md"]) == (before, CARD)
    hub.commit("org/name", {"other.txt": b"meanwhile"}, "somebody else")
    assert hub.merge("org/name", 1) == repo.head
    assert repo.commits[-1].title == "Reword (#1)"
    assert {"README.md": b"new", "extra.txt": b"more", "other.txt": b"meanwhile"}.items() <= repo.files().items()
    with pytest.raises(ValueError, match="it is merged"):
        hub.merge("org/name", 1)


def test_a_path_names_the_last_commit_that_changed_it(hub, ask, repo):
    repo.tags["v1"] = repo.head
    hub.commit("org/name", {"README.md": b"better"}, "wording")
    hub.commit("org/name", {"advice/train-1.parquet": b"PAR1"}, "v2", delete=["advice/train-0.parquet"])
    said = ask("""
def last(revision, *paths):
    found = api.get_paths_info(**where, paths=list(paths), expand=True, revision=revision)
    return {each.path: each.last_commit.title for each in found}

said["main"] = last("main", "README.md", "advice", "advice/train-1.parquet", ".gitattributes", "nope")
said["v1"] = last("v1", "README.md", "advice/train-0.parquet")
said["lfs"] = api.get_paths_info(**where, paths="advice/train-1.parquet")[0].lfs.sha256
said["history"] = [each.title for each in api.list_repo_commits(**where)]
""")
    changed = {
        "README.md": "wording",
        "advice": "v2",
        "advice/train-1.parquet": "v2",
        ".gitattributes": "initial commit",
    }
    assert said["main"] == changed
    assert said["v1"] == {"README.md": "v1", "advice/train-0.parquet": "v1"}
    assert said["lfs"] == repo.at("main").tree["advice/train-1.parquet"].sha256
    assert said["history"] == ["v2", "wording", "v1", "initial commit"]


def test_only_what_changed_is_uploaded_and_a_bad_card_nothing(hub, ask, repo):
    said = ask(f"""
said["same"] = commit("none", Add("README.md", {CARD!r}), Add("advice/train-0.parquet", b"PAR1")).oid
commit("copy", Add("advice/train-1.parquet", b"PAR1"), Add("advice/train-2.parquet", b"PAR2"))
said["delete"] = tried(commit, "gone", Delete("nope.txt"))
""")
    assert said == {"same": repo.commits[1].oid, "delete": "RemoteEntryNotFoundError 404"}
    assert [method for method, _ in hub.requests].count("PUT") == 1
    hub.card_errors.append('"license" must be one of [mit]')
    assert ask('said["card"] = tried(commit, "bad", Add("README.md", b"---"))') == {"card": "ValueError"}
    assert repo.commits[-1].title == "copy"


RIGHTS = """
hidden = {"repo_id": "org/hidden", "repo_type": "dataset"}
said["who"] = tried(api.whoami)
said["read"] = tried(api.dataset_info, "org/name")
said["hidden"] = tried(api.dataset_info, "org/hidden")
said["create"] = tried(api.create_repo, "org/new", repo_type="dataset")
said["write"] = tried(commit, "x", Add("x.txt", b"x"))
said["tag"] = tried(api.create_tag, **where, tag="v9")
"""


@pytest.mark.parametrize(
    ("token", "outcomes"),
    [
        ("hf_good", ["done"] * 6),
        ("hf_read", ["done"] * 3 + ["HfHubHTTPError 403"] * 3),
        ("hf_other", ["done", "done", "RepositoryNotFoundError 404"] + ["HfHubHTTPError 403"] * 3),
        ("hf_wrong", ["HfHubHTTPError 401"] * 6),
        (
            "",
            ["LocalTokenNotFoundError", "done", "RepositoryNotFoundError 401", "HfHubHTTPError 401"]
            + ["RepositoryNotFoundError 401"] * 2,
        ),
    ],
)
def test_a_token_opens_what_it_would_open_on_the_hub(hub, ask, repo, token, outcomes):
    hub.repos["org/hidden"] = Repo("org/hidden", private=True)
    assert list(ask(RIGHTS, token).values()) == outcomes


def test_faults_strike_as_often_as_they_are_told(hub, ask, repo):
    hub.faults += [
        Fault("POST", "/commit/main$", "lost"),
        Fault("POST", "/commit/main$", "cut"),
        Fault("POST", "/commit/main$", 500),
        Fault("POST", "/commit/main$", lambda: hub.commit("org/name", {"web.txt": b"x"}, "web editor")),
        Fault("GET", "/datasets/org/name$", "slow", times=2, seconds=0.3),
    ]
    said = ask("""
import time

said["commits"] = [tried(commit, f"{n}", Add(f"{n}.txt", b"x")) for n in range(3)]
started = time.monotonic()
old = api.dataset_info("org/name").sha
said["slow"] = time.monotonic() - started > 0.3
said["raced"] = tried(commit, "3", Add("3.txt", b"x"), parent_commit=old)
said["after"] = tried(commit, "4", Add("4.txt", b"x"))
""")
    assert said["commits"] == ["RemoteProtocolError", "RemoteProtocolError", "HfHubHTTPError 500"]
    assert (said["slow"], said["raced"], said["after"]) == (True, "HfHubHTTPError 412", "done")
    assert [commit.title for commit in repo.commits] == ["initial commit", "v1", "0", "web editor", "4"]
    assert [fault.times for fault in hub.faults] == [0, 0, 0, 0, 1]
