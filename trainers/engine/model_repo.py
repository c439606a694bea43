"""A model repository on the Hugging Face Hub: what it holds, and what is asked of it.

Address, token and errors in words are those of a data set repository; a method that is here names the other kind.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from builders.engine.folder import CARD, sha256_of
from builders.engine.hub import Head, HubRepo
from schemas.settings import InputError
from trainers.engine.model_files import Training, training_of
from trainers.engine.opening import TRAINING

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.hf_api import ModelInfo


class ModelHead(Head):
    """What the main branch of a model repository holds; its manifest is training.json, None unless a trainer wrote it."""

    @property
    def training(self) -> Training | None:
        """The model there."""
        return Training.model_validate(self.manifest) if self.manifest else None

    @property
    def tag(self) -> str | None:
        """The tag its model has, or should have."""
        return self.training.tag if self.training else None


class ModelRepo(HubRepo):
    """One model repository. Methods raise InputError for what only the user can mend, Unavailable for the network."""

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"{self._api.endpoint}/{self.name}"

    def head(self) -> ModelHead | None:
        """What main holds now; None when there is no such repository, or none that this token may see."""
        info = self._info()
        if info is None:
            return None
        with self._explained():
            refs = self._api.list_repo_refs(self.name, repo_type="model")
        names = frozenset(one.rfilename for one in info.siblings or ())
        commit = str(info.sha)
        training = self.training(commit) if TRAINING in names else None
        card = self.text(CARD, commit) if CARD in names else None
        tags = {one.name: one.target_commit for one in refs.tags}
        told = training.model_dump() if training else None
        return ModelHead(commit, bool(info.private), names, told, card, tags)

    def _info(self) -> "ModelInfo | None":
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._explained():
            try:
                return self._api.model_info(self.name)
            except RepositoryNotFoundError as wrong:
                if wrong.response.status_code == 401:
                    self._api.whoami()  # says whether it is the token
                return None

    def training(self, revision: str) -> Training | None:
        """The training.json at a revision; None when it is somebody else's file of this name."""
        try:
            return training_of(self.text(TRAINING, revision))
        except ValueError:
            return None

    def check_right_to_write(self, head: Head | None) -> None:
        """Raise InputError when this token may not change the repository, or make it."""
        if head is None:
            super().check_right_to_write(None)
            return
        with self._explained():
            self._api.auth_check(self.name, repo_type="model", write=True)

    def create(self, *, private: bool) -> None:
        """Make the repository; one that somebody made meanwhile is fine."""
        with self._explained():
            self._api.create_repo(self.name, repo_type="model", private=private, exist_ok=True)

    def commit(
        self, added: "list[CommitOperationAdd]", deleted: "list[CommitOperationDelete]", *, title: str, parent: str, pr: bool = False
    ) -> tuple[str, str | None]:  # fmt: skip
        """One commit on top of `parent`; returns it, and a pull request's address if it is one."""
        with self._explained():
            self._api.preupload_lfs_files(self.name, added, repo_type="model", create_pr=pr, free_memory=False)
        if kept_out := [one.path_in_repo for one in added if one._should_ignore]:  # the client leaves it out silently
            raise InputError(f"--push {self.name}: the .gitignore there keeps out {kept_out[0]}; take that line out")
        with self._explained():
            made = self._api.create_commit(
                self.name, [*added, *deleted], commit_message=title, repo_type="model", parent_commit=parent, create_pr=pr
            )  # fmt: skip
        return made.oid, made.pr_url

    def tag(self, tag: str, commit: str) -> None:
        """Name a commit; the same name for the same commit twice is fine."""
        with self._explained():
            self._api.create_tag(
                self.name, tag=tag, revision=commit, tag_message=f"Model {tag}", repo_type="model", exist_ok=True
            )

    def commit_of(self, path: str) -> str:
        """The latest commit on main that changed a file."""
        with self._explained():
            (found,) = self._api.get_paths_info(self.name, [path], expand=True, repo_type="model")
        assert found.last_commit is not None, "the Hub answers expand=True with it"
        return str(found.last_commit.oid)

    def titles(self, commit: str) -> dict[str, str]:
        """Commit -> title of a commit and those before it, the latest first."""
        with self._explained():
            line = self._api.list_repo_commits(self.name, repo_type="model", revision=commit)
        return {one.commit_id: one.title for one in line}

    def hashes(self, names: Iterable[str], revision: str) -> dict[str, str | None]:
        """SHA-256 of files at a revision: of large ones what the Hub checked on arrival, small ones are downloaded again."""
        from huggingface_hub.hf_api import RepoFile

        wanted = list(names)
        with self._explained():
            entries = self._api.get_paths_info(self.name, wanted, repo_type="model", revision=revision)
        found: dict[str, str | None] = dict.fromkeys(wanted)
        for entry in entries:
            if isinstance(entry, RepoFile):
                found[entry.path] = entry.lfs.sha256 if entry.lfs else self._downloaded(entry.path, revision)
        return found

    def _downloaded(self, name: str, revision: str) -> str | None:
        with tempfile.TemporaryDirectory() as folder, self._explained():
            path = self._api.hf_hub_download(
                self.name, name, repo_type="model", revision=revision, local_dir=folder, force_download=True
            )
            return sha256_of(Path(path))

    def text(self, name: str, revision: str) -> str:
        """A text file at a revision, through the client's cache."""
        with self._explained():
            path = self._api.hf_hub_download(self.name, name, repo_type="model", revision=revision)
        try:
            return Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as wrong:
            raise InputError(f"--push {self.name}: {name} there is not UTF-8 text (byte {wrong.start})") from None
