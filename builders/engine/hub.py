"""A data set repository on the Hugging Face Hub: what it holds, and what goes wrong there in words.

The client is huggingface_hub as it is; it takes the token from HF_TOKEN, or from `hf auth login`.
"""

import contextlib
import json
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from builders.engine.errors import Unavailable
from builders.engine.folder import (
    CARD,
    MANIFEST,
    Previous,
    checked_manifest,
    files_by_config,
    rows_of,
    rows_of_configs,
    sha256_of,
)
from builders.engine.hub_address import MOST_SHOWN, check_address, no_telemetry, one_line
from schemas.settings import InputError

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.errors import HfHubHTTPError

NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
SILENCE_SECONDS = 300.0
"""The client on its own would wait for ever."""


class Head(NamedTuple):
    """What the main branch of a repository holds."""

    commit: str
    private: bool
    names: frozenset[str]
    """Paths of its files."""
    manifest: dict[str, Any] | None
    """That of the release there; None when there is none yet."""
    card: str | None
    tags: Mapping[str, str]
    """Tag -> commit."""

    @property
    def tag(self) -> str | None:
        """The tag its release has, or should have."""
        return f"v{self.manifest['version']}" if self.manifest else None


class HubRepo:
    """One data set repository. Methods raise InputError for what only the user can mend, Unavailable for the network."""

    kind: ClassVar[Literal["dataset", "model"]] = "dataset"
    """What the Hub calls it; trainers have models."""

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise InputError(f"--push {name}: expected ORG/NAME")
        check_address(f"--push {name}")
        no_telemetry()
        import httpx2
        import huggingface_hub

        self.name = name
        self._api = huggingface_hub.HfApi()
        with self._explained():
            token = huggingface_hub.get_token()
        if token is None:
            raise InputError(f"--push {name}: no token; set HF_TOKEN to one that may write")
        if not re.fullmatch(r"[!-~]+", token):
            raise InputError(f"--push {name}: HF_TOKEN holds characters that no token has")
        self._api = huggingface_hub.HfApi(token=token)
        huggingface_hub.get_session().timeout = httpx2.Timeout(SILENCE_SECONDS, connect=30.0)

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"{self._api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def head(self) -> Head | None:
        """What main holds now; None when there is no such repository, or none that this token may see."""
        found = self._look()
        if found is None or MANIFEST not in found.names:
            return found
        manifest = checked_manifest(self.text(MANIFEST, found.commit), f"--push {self.name}")
        return found._replace(manifest=manifest)

    def _look(self) -> Head | None:
        """The head, whatever its manifest says."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._explained():
            try:
                ask = self._api.dataset_info if self.kind == "dataset" else self._api.model_info
                info = ask(self.name)
            except RepositoryNotFoundError as wrong:
                if wrong.response.status_code == 401:
                    self._api.whoami()  # says whether it is the token
                return None
            refs = self._api.list_repo_refs(self.name, repo_type=self.kind)
        names = frozenset(one.rfilename for one in info.siblings or ())
        card = self.text(CARD, str(info.sha)) if CARD in names else None
        tags = {one.name: one.target_commit for one in refs.tags}
        return Head(str(info.sha), bool(info.private), names, None, card, tags)

    def check_right_to_write(self, head: Head | None) -> None:
        """Raise InputError when this token may not change the repository, or make it."""
        with self._explained():
            if head is not None:
                self._api.auth_check(self.name, repo_type=self.kind, write=True)
                return
            me = self._api.whoami()
        owner, spaces = self.name.split("/")[0], [me.get("name"), *(one.get("name") for one in me.get("orgs") or ())]
        role = ((me.get("auth") or {}).get("accessToken") or {}).get("role")
        if role == "read":
            raise InputError(f"--push {self.name}: this token may only read; set HF_TOKEN to one that may write")
        if owner not in spaces:
            raise InputError(f"--push {self.name}: {owner} is neither this token's user nor one of its organisations")

    def previous(self, head: Head, config: str) -> Previous | None:
        """The release of a config that main holds, read through the client's cache."""
        if head.manifest is None:
            return None
        if "configs" in head.manifest:
            raise InputError(
                f"--push {self.name}: holds a release that builders.publish joined ({head.manifest['config']}); build "
                f"without --push, and publish the folder there together with the others"
            )
        paths = self._paths(head, [config])[config]
        return Previous(head.manifest["version"], head.manifest["content"], rows_of(paths, f"--push {self.name}"))

    def joined(self, head: Head, configs: Collection[str]) -> Previous | None:
        """The release that main holds, all configs of it; a key is CONFIG/KEY. One of these configs must be among them."""
        if head.manifest is None:
            return None
        held = files_by_config(head.manifest)
        paths = self._paths(head, configs if held.keys().isdisjoint(configs) else list(held))
        rows = rows_of_configs(paths, f"--push {self.name}")
        return Previous(head.manifest["version"], head.manifest["content"], rows)

    def _paths(self, head: Head, configs: Iterable[str]) -> dict[str, list[Path]]:
        """The Parquet files of configs, downloaded; raises InputError when there are none, or one is gone."""
        assert head.manifest is not None
        held = files_by_config(head.manifest)
        found: dict[str, list[Path]] = {}
        for config in configs:
            names = held.get(config)
            if not names:
                raise InputError(
                    f"--push {self.name}: holds a release of {head.manifest['config']}, and no rows of {config}"
                )
            if gone := [name for name in names if name not in head.names]:
                raise InputError(f"--push {self.name}: its {MANIFEST} names {gone[0]}, which is not there; put it back")
            with self._explained():
                found[config] = [
                    Path(self._api.hf_hub_download(self.name, name, repo_type=self.kind, revision=head.commit))
                    for name in names
                ]
        return found

    def create(self, *, private: bool) -> None:
        """Make the repository; one that somebody made meanwhile is fine."""
        with self._explained():
            self._api.create_repo(self.name, repo_type=self.kind, private=private, exist_ok=True)

    def commit(
        self, added: "list[CommitOperationAdd]", deleted: "list[CommitOperationDelete]", *, title: str, parent: str, pr: bool
    ) -> tuple[str, str | None]:  # fmt: skip
        """One commit on top of `parent`, or a pull request with it; returns the commit and the pull request's address."""
        with self._explained():
            self._api.preupload_lfs_files(self.name, added, repo_type=self.kind, create_pr=pr, free_memory=False)
        if kept_out := [one.path_in_repo for one in added if one._should_ignore]:  # the client leaves it out silently
            raise InputError(f"--push {self.name}: the .gitignore there keeps out {kept_out[0]}; take that line out")
        with self._explained():
            made = self._api.create_commit(
                self.name, [*added, *deleted], commit_message=title, repo_type=self.kind, parent_commit=parent, create_pr=pr
            )  # fmt: skip
        return made.oid, made.pr_url

    def tag(self, tag: str, commit: str) -> None:
        """Name a commit; the same name for the same commit twice is fine."""
        with self._explained():
            self._api.create_tag(
                self.name, tag=tag, revision=commit, tag_message=f"Release {tag}", repo_type=self.kind, exist_ok=True
            )

    def open_pull_request(self, title: str) -> int | None:
        """The number of an open pull request with this title."""
        with self._explained():
            found = self._api.get_repo_discussions(
                self.name, repo_type=self.kind, discussion_type="pull_request", discussion_status="open"
            )
            return next((one.num for one in found if one.title == title), None)

    def commit_of(self, path: str) -> str:
        """The latest commit on main that changed a file."""
        with self._explained():
            (found,) = self._api.get_paths_info(self.name, [path], expand=True, repo_type=self.kind)
        assert found.last_commit is not None, "the Hub answers expand=True with it"
        return str(found.last_commit.oid)

    def hashes(self, names: Iterable[str], revision: str) -> dict[str, str | None]:
        """SHA-256 of files at a revision, each downloaded again and hashed here."""
        found: dict[str, str | None] = {}
        with tempfile.TemporaryDirectory() as folder, self._explained():
            for name in names:
                path = Path(
                    self._api.hf_hub_download(
                        self.name, name, repo_type=self.kind, revision=revision, local_dir=folder, force_download=True
                    )
                )
                found[name] = sha256_of(path)
                path.unlink()
        return found

    def text(self, name: str, revision: str) -> str:
        """A text file at a revision, through the client's cache."""
        with self._explained():
            path = self._api.hf_hub_download(self.name, name, repo_type=self.kind, revision=revision)
        try:
            return Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as wrong:
            raise InputError(f"--push {self.name}: {name} there is not UTF-8 text (byte {wrong.start})") from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """The client's errors, as one line that names the repository."""
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OIDCError

        where = f"--push {self.name}"
        try:
            yield
        except HfHubHTTPError as wrong:
            raise _in_words(where, wrong) from None
        except (httpx2.HTTPError, ConnectionError, LocalEntryNotFoundError) as wrong:
            raise Unavailable(f"{where}: {self._api.endpoint} cannot be reached ({one_line(wrong)})") from None
        except OIDCError as wrong:
            raise InputError(f"{where}: {one_line(wrong)}") from None
        except RuntimeError as wrong:  # "Error while uploading …", with the reason behind it
            cause = wrong.__cause__ or wrong
            if isinstance(cause, HfHubHTTPError):
                raise _in_words(where, cause) from None
            raise Unavailable(f"{where}: {one_line(wrong)} ({one_line(cause)})") from None
        except ValueError as wrong:  # a card the Hub refuses; or its answer to that was none
            if isinstance(wrong, json.JSONDecodeError) or "orce download failed" in str(wrong):
                raise Unavailable(f"{where}: the Hub answered with something else ({one_line(wrong)})") from None
            raise InputError(f"{where}: {one_line(wrong)}") from None


class Moved(InputError):
    """Main is no longer where it was when it was read."""


def _in_words(where: str, wrong: "HfHubHTTPError") -> Exception:
    status = wrong.response.status_code
    said = (wrong.server_message or one_line(wrong))[:MOST_SHOWN]
    if status in (409, 412):
        return Moved(
            f"{where}: somebody changed the repository since it was read; run again, which continues from there"
        )
    if status == 401:
        return InputError(f"{where}: the Hub does not know this token; set HF_TOKEN to one that may write")
    if status == 403:
        return InputError(f"{where}: this token may not do that: {said}")
    if status == 429 or status >= 500:
        return Unavailable(f"{where}: the Hub answered {status}: {said}")
    return InputError(f"{where}: the Hub answered {status}: {said}")
