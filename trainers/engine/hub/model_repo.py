"""A model repository on the Hugging Face Hub: what it holds, and what is asked of it.

Address, token and errors in words are those of a data set repository; a method that is here names the other kind.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from builders.engine.folder import sha256_of
from builders.engine.hub import Head, HubRepo
from trainers.engine.hub.model_files import Training, training_of
from trainers.engine.run import TRAINING


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

    kind: ClassVar[Literal["dataset", "model"]] = "model"

    def head(self) -> ModelHead | None:
        """What main holds now; None when there is no such repository, or none that this token may see."""
        found = self._look()
        if found is None:
            return None
        training = self.training(found.commit) if TRAINING in found.names else None
        return ModelHead._make(found._replace(manifest=training.model_dump() if training else None))

    def training(self, revision: str) -> Training | None:
        """The training.json at a revision; None when it is somebody else's file of this name."""
        try:
            return training_of(self.text(TRAINING, revision))
        except ValueError:
            return None

    def titles(self, commit: str) -> dict[str, str]:
        """Commit -> title of a commit and those before it, the latest first."""
        with self._explained():
            line = self._api.list_repo_commits(self.name, repo_type=self.kind, revision=commit)
        return {one.commit_id: one.title for one in line}

    def hashes(self, names: Iterable[str], revision: str) -> dict[str, str | None]:
        """SHA-256 of files at a revision: of large ones what the Hub checked on arrival, small ones are downloaded again."""
        from huggingface_hub.hf_api import RepoFile

        wanted = list(names)
        with self._explained():
            entries = self._api.get_paths_info(self.name, wanted, repo_type=self.kind, revision=revision)
        found: dict[str, str | None] = dict.fromkeys(wanted)
        for entry in entries:
            if isinstance(entry, RepoFile):
                found[entry.path] = entry.lfs.sha256 if entry.lfs else self._downloaded(entry.path, revision)
        return found

    def _downloaded(self, name: str, revision: str) -> str | None:
        with tempfile.TemporaryDirectory() as folder, self._explained():
            path = self._api.hf_hub_download(
                self.name, name, repo_type=self.kind, revision=revision, local_dir=folder, force_download=True
            )
            return sha256_of(Path(path))
