"""Where the Hub is, checked before its client is imported: the client prints an address, or a token that is none, as it is."""

import os
import sys
from urllib.parse import urlsplit

from schemas.settings import InputError

MOST_SHOWN = 300


def check_address(where: str) -> None:
    """Raises InputError, which opens with `where`, when HF_ENDPOINT is no address, or holds a secret."""
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        parts = urlsplit(address)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        sound = False
    if not sound:
        raise InputError(f"{where}: HF_ENDPOINT is no address: expected https://HOST")
    if parts.username or parts.password:
        raise InputError(f"{where}: HF_ENDPOINT carries a credential; the token belongs in HF_TOKEN")


def no_telemetry() -> None:
    """The client names its host's tools to the Hub unless told otherwise, and listens when it is imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if constants := sys.modules.get("huggingface_hub.constants"):
        vars(constants)["HF_HUB_DISABLE_TELEMETRY"] = True


def one_line(wrong: BaseException) -> str:
    """What an error says, on one line and not too long."""
    return " ".join(str(wrong).split())[:MOST_SHOWN] or type(wrong).__name__
