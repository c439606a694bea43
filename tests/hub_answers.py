"""A repository in the Hub's own words: the JSON its API answers with."""

from collections.abc import Mapping
from typing import Any

from hub_repos import Blob, Commit, Pull, Repo, Tree, ignored, in_lfs


def info(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    """What `dataset_info` and `model_info` read."""
    known = {"id": repo.name, "author": repo.name.split("/")[0], "sha": commit.oid, "private": repo.private}
    dates = {"createdAt": repo.commits[0].date, "lastModified": commit.date}
    rest = {"gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
    return {**known, **dates, **rest, "siblings": [sibling(*file, blobs=blobs) for file in commit.tree.items()]}


def sibling(path: str, blob: Blob, *, blobs: bool) -> dict[str, Any]:
    """A file of theirs, with its size and hashes if asked."""
    if not blobs:
        return {"rfilename": path}
    sizes = {"size": len(blob.content), "pointerSize": len(blob.pointer)}
    lfs = {"lfs": {"sha256": blob.sha256, **sizes}} if blob.lfs else {}
    return {"rfilename": path, "size": len(blob.content), "blobId": blob.oid, **lfs}


def entry(repo: Repo, commit: Commit, path: str, *, expand: bool) -> dict[str, Any]:
    """A file or folder of `list_repo_tree` and `get_paths_info`, with the commit that last changed it if asked."""
    blob, last = commit.tree.get(path), repo.last_change(commit, path) if expand else None
    shown: dict[str, Any] = {"type": "directory", "path": path, "oid": commit.oid, "size": 0}
    if blob:
        shown |= {"type": "file", "oid": blob.oid, "size": len(blob.content)}
    if blob and blob.lfs:
        shown["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return shown | ({"lastCommit": {"id": last.oid, "title": last.title, "date": last.date}} if last else {})


def refs(repo: Repo) -> dict[str, Any]:
    """What `list_repo_refs` reads."""
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repo.tags.items()]
    pulls = [{"name": pull.ref, "ref": pull.ref, "targetCommit": repo.branches[pull.ref]} for pull in repo.pulls]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
    return {"branches": [main], "converts": [], "tags": tags, "pullRequests": pulls}


def commit_line(commit: Commit) -> dict[str, Any]:
    """A line of `list_repo_commits`."""
    said = {"title": commit.title, "message": commit.message, "authors": [{"user": commit.author}]}
    return {"id": commit.oid, "date": commit.date, **said}


def discussion(repo: Repo, pull: Pull) -> dict[str, Any]:
    """A pull request of `get_repo_discussions`."""
    said = {"num": pull.number, "title": pull.title, "status": pull.status, "createdAt": pull.date}
    return {
        **said,
        "author": {"name": pull.author},
        "repo": {"name": repo.name, "type": repo.kind},
        "isPullRequest": True,
    }


def upload_mode(tree: Tree, file: Mapping[str, Any], gitignore: str | None) -> dict[str, Any]:
    """How a file must be uploaded, and the hash of what already lies there: the client skips what has not changed."""
    path, lfs = file["path"], in_lfs(tree, file["path"], file["size"])
    there = {"oid": tree[path].sha256 if lfs else tree[path].oid} if path in tree else {}
    mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": ignored(tree, path, gitignore)}
    return {"path": path, **mode, **there}
