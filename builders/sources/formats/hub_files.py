"""Data files of a data set on the Hugging Face Hub, through the client's cache, and what goes wrong there in words."""

import contextlib
import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builders.engine.hub_address import MOST_SHOWN, check_address, no_telemetry, one_line
from schemas.settings import InputError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

NAME = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")


def downloaded(name: str, suffixes: Sequence[str], *, revision: str | None, config: str | None) -> Path:
    """Folder with the data files of a data set, or of one config of it; raises InputError when there are none."""
    check_address(name)
    no_telemetry()
    if not re.fullmatch(r"[!-~]*", os.environ.get("HF_TOKEN", "").strip()):
        raise InputError(f"{name}: HF_TOKEN holds characters that no token has")
    import huggingface_hub

    under = f"{glob.escape(config)}/" if config else ""
    with _explained(name):
        folder = Path(
            huggingface_hub.snapshot_download(
                name,
                repo_type="dataset",
                revision=revision,
                allow_patterns=[f"{under}*{suffix}" for suffix in suffixes],
            )
        )
    if not (folder / (config or "")).is_dir():
        raise InputError(f"{name}: no data files on the Hub{f' in a folder {config}' if config else ''}")
    return folder / (config or "")


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """The client's errors, as one line that names the data set."""
    import httpx2
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as wrong:
        raise InputError(f"{name}: {_in_words(wrong)}") from None
    except (httpx2.HTTPError, EntryNotFoundError, ConnectionError) as wrong:
        raise InputError(f"{name}: no such file or folder, and the Hub cannot be reached ({one_line(wrong)})") from None
    except (OSError, ValueError, RuntimeError) as wrong:  # a full disk, a name the client refuses, a download cut off
        raise InputError(f"{name}: {one_line(wrong)}") from None


def _in_words(wrong: "HfHubHTTPError") -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status = wrong.response.status_code
    said = (wrong.server_message or one_line(wrong))[:MOST_SHOWN]
    if isinstance(wrong, GatedRepoError):
        return f"the data set is gated: accept its terms on its page on the Hub, and set HF_TOKEN ({said})"
    if isinstance(wrong, RepositoryNotFoundError):
        return "no such file or folder, and no data set on the Hub of that name that this token, or none, may see"
    if isinstance(wrong, RevisionNotFoundError):
        return f"the data set on the Hub has no such revision: {said}"
    if status == 401:
        return "the Hub does not know this token; set HF_TOKEN to one that may read"
    if status == 429 or status >= 500:
        return f"the Hub answered {status}, try again later: {said}"
    return f"the Hub answered {status}: {said}"
