"""Data set and model repositories in memory, as the Hub keeps them: commits upon commits, tags, pull requests, and who may. No HTTP here."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

LFS_BYTES = 10 * 2**20
LFS_SUFFIXES = """7z arrow bin bz2 gz h5 jpeg jpg joblib lz4 mp3 mp4 msgpack npy npz parquet pickle pkl png rar
safetensors tar tgz wav webp xz zip zst"""
GITATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES.split())
LOST_POINTER = (
    "Your push was rejected because an LFS pointer pointed to a file that does not exist. Offending file: - {}"
)

Tree = Mapping[str, "Blob"]
Kind = Literal["dataset", "model"]


class Refused(Exception):
    """What the Hub answers instead: status, `X-Error-Code` and words."""

    def __init__(self, status: int, words: str, code: str = "", **headers: str):
        super().__init__(words)
        self.status, self.words, self.code, self.headers = status, words, code, headers


class User(NamedTuple):
    """Who a token belongs to. `stranger` owns `stranger/…`; every other repository is the clinic's."""

    name: str
    role: Literal["read", "write"]

    def owns(self, repo: str) -> bool:
        return (self.name == "stranger") == repo.startswith("stranger/")


TOKENS = {
    "hf_good": User("clinic", "write"),
    "hf_read": User("clinic", "read"),
    "hf_other": User("stranger", "write"),
}


@dataclass(frozen=True)
class Blob:
    """A file's content; in LFS, git itself holds only a pointer to it."""

    content: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def oid(self) -> str:
        """The git object's SHA-1, which for LFS is the pointer's."""
        return git_hash(self.pointer if self.lfs else self.content)

    @property
    def pointer(self) -> bytes:
        version = "version https://git-lfs.github.com/spec/v1"
        return f"{version}\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()


@dataclass(frozen=True)
class Commit:
    """A tree, and where it came from; `oid` is a SHA-1 over parent, title and content."""

    oid: str
    parent: str | None
    tree: Tree
    title: str
    message: str
    author: str
    date: str


@dataclass
class Pull:
    """A pull request; its commits are on `refs/pr/<number>`."""

    number: int
    title: str
    author: str
    base: str
    date: str
    status: str = "open"

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.number}"


@dataclass
class Repo:
    """A repository with the Hub's own first commit, which holds `.gitattributes` and nothing else."""

    name: str
    private: bool = False
    kind: Kind = "dataset"
    tags: dict[str, str] = field(default_factory=dict)
    """Tag -> commit oid."""
    branches: dict[str, str] = field(default_factory=dict)
    """`main` and every `refs/pr/<number>` -> commit oid."""
    pulls: list[Pull] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    """SHA-256 -> what was uploaded to LFS, committed or not."""
    _commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grow("main", {".gitattributes": Blob(GITATTRIBUTES.encode())}, "initial commit", author="system")

    @property
    def path(self) -> str:
        """Where its page is, below the Hub's address."""
        return self.name if self.kind == "model" else f"datasets/{self.name}"

    @property
    def head(self) -> str:
        """The oid `main` stands at."""
        return self.branches["main"]

    @property
    def commits(self) -> list[Commit]:
        """History of `main`, oldest first."""
        return self.history(self.at("main"))[::-1]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Path -> content at a revision."""
        return {path: blob.content for path, blob in self.at(revision).tree.items()}

    def at(self, revision: str) -> Commit:
        """The commit a branch, a tag, `refs/pr/<number>`, an oid or the first seven of its digits stands for."""
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        known = [oid] if oid in self._commits else [each for each in self._commits if each.startswith(oid)]
        if len(known) != 1 or len(oid) < 7:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self._commits[known[0]]

    def history(self, commit: Commit) -> list[Commit]:
        """A commit and its ancestors, newest first."""
        line = [commit]
        while line[-1].parent:
            line.append(self._commits[line[-1].parent])
        return line

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The newest commit, from this one back, that changed a file or anything in a folder."""
        line = self.history(commit)
        for younger, older in pairwise(line):
            if fingerprint(younger.tree, path) != fingerprint(older.tree, path):
                return younger
        return line[-1]

    def grow(self, branch: str, tree: Tree, title: str, message: str = "", *, author: str = "clinic") -> Commit:
        """A new commit on a branch."""
        parent = self.branches.get(branch)
        seen = "\n".join([parent or "", title, message, fingerprint(tree, "")])
        date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        commit = Commit(hashlib.sha1(seen.encode()).hexdigest(), parent, dict(tree), title, message, author, date)
        self._commits[commit.oid] = commit
        self.objects |= {blob.sha256: blob.content for blob in tree.values() if blob.lfs}
        self.branches[branch] = commit.oid
        return commit

    def open_pull(self, base: Commit, title: str, author: str) -> Pull:
        """A pull request that starts from a commit and has none of its own yet."""
        pull = Pull(len(self.pulls) + 1, title, author, base.oid, base.date)
        self.pulls.append(pull)
        self.branches[pull.ref] = base.oid
        return pull

    def merge(self, number: int) -> Commit:
        """A pull request's changes, squashed into one commit upon `main`."""
        pull = self.pulls[number - 1]
        base, theirs, ours = self.at(pull.base).tree, self.at(pull.ref).tree, self.at("main").tree
        changed = [path for path in {**base, **theirs} if base.get(path) != theirs.get(path)]
        torn = [path for path in changed if ours.get(path) not in (base.get(path), theirs.get(path))]
        if pull.status != "open" or torn:
            raise ValueError(f"pull request {number} cannot be merged: it is {pull.status}, conflicts in {torn}")
        pull.status = "merged"
        kept = {path: blob for path, blob in ours.items() if path not in changed}
        added = {path: theirs[path] for path in changed if path in theirs}
        return self.grow("main", kept | added, f"{pull.title} (#{number})", author=pull.author)


def allowed(repo: Repo | None, user: User | None, *, write: bool, pull: bool) -> Repo:
    """The repository, if this user may read it, write to it or at least open a pull request."""
    if not user and (write or repo is None or repo.private):
        raise Refused(401, "Invalid username or password.", "RepoNotFound")
    if repo is None or (user and repo.private and not user.owns(repo.name)):
        raise Refused(404, "Repository not found", "RepoNotFound")
    if user and write and user.role != "write":
        raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
    if user and write and not (pull or user.owns(repo.name)):
        raise Refused(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
    return repo


def git_hash(content: bytes) -> str:
    """What `git hash-object` says."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def fingerprint(tree: Tree, path: str) -> str:
    """Changes when the file does, or anything in the folder; the root folder is ""."""
    within = f"{path}/" if path else ""
    lines = [f"{p} {blob.oid}" for p, blob in sorted(tree.items()) if p == path or p.startswith(within)]
    return hashlib.sha1("\n".join(lines).encode()).hexdigest()


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path, or its last part, is named by one of git's patterns."""
    return any(fnmatch(path, pattern) or fnmatch(PurePosixPath(path).name, pattern) for pattern in patterns)


def in_lfs(tree: Tree, path: str, size: int) -> bool:
    """Whether the tree's own `.gitattributes`, or sheer size, sends a file to LFS."""
    lines = tree[".gitattributes"].content.decode().splitlines() if ".gitattributes" in tree else []
    return size > LFS_BYTES or matches(path, [line.split()[0] for line in lines if " filter=lfs" in line])


def ignored(tree: Tree, path: str, own: str | None) -> bool:
    """Whether a `.gitignore`, sent along or lying in the tree, keeps a file out of commits."""
    lying = tree[".gitignore"].content.decode() if ".gitignore" in tree else ""
    lines = (lying if own is None else own).splitlines()
    return matches(path, [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")])


def edited(tree: Tree, edits: Sequence[dict[str, Any]], objects: Mapping[str, bytes]) -> dict[str, Blob]:
    """A tree after the lines of a commit request that follow its header."""
    files = dict(tree)
    for edit in edits:
        path = edit["value"]["path"]
        match edit["key"]:
            case "file":
                files[path] = Blob(base64.b64decode(edit["value"]["content"]))
            case "lfsFile" if edit["value"]["oid"] not in objects:
                raise Refused(400, LOST_POINTER.format(path))
            case "lfsFile":
                files[path] = Blob(objects[edit["value"]["oid"]], lfs=True)
            case "deletedFile" | "deletedFolder" as key:
                below = f"{path.rstrip('/')}/"
                gone = [p for p in files if (p == path if key == "deletedFile" else p.startswith(below))]
                if not gone:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
                files = {p: blob for p, blob in files.items() if p not in gone}
    return files


def listing(tree: Tree, folder: str, *, recursive: bool) -> list[str]:
    """Files and folders below a folder ("" is the root), or the file itself."""
    parents = {str(parent) for path in tree for parent in PurePosixPath(path).parents} - {"."}
    below = f"{folder}/" if folder else ""
    found = sorted(path for path in {*tree, *parents} if path.startswith(below) or path == folder in tree)
    if folder and not found:
        raise Refused(404, f'"{folder}" does not exist', "EntryNotFound")
    return found if recursive else [path for path in found if "/" not in path.removeprefix(below)]
