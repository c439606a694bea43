"""What is known of a base model before it is loaded: its commit, its licence, and what it learnt from before.

`name` is what --model says; every InputError opens with it.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.engine.folder import CARD
from builders.engine.hub_address import check_address, no_telemetry, one_line
from schemas.settings import InputError
from trainers.engine.run import TRAINING, ModelChoice

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

MAY_BE = "a folder with config.json and weights, ORG/NAME[@REVISION] on the Hub, new:tiny or new:100m"
ADAPTERS = "adapter_config.json"
WEIGHTS = re.compile(r"[^/]+\.safetensors(\.index\.json)?|pytorch_model.*\.bin(\.index\.json)?")
SILENCE_SECONDS = 30.0
"""How long the Hub may take to describe a model."""


def in_folder(name: str, folder: Path) -> ModelChoice:
    """The whole model in a folder, with what its card and a trainer of ours say of it."""
    files = {file.name for file in folder.iterdir()}
    adapters = _read_json(name, folder / ADAPTERS) if ADAPTERS in files else {}
    _check_files(name, files, str(adapters.get("base_model_name_or_path") or ""))
    found = ModelChoice(
        name=folder.resolve().name, path=str(folder.resolve()), license=_license_of_card(folder / "README.md")
    )
    return _with_past(name, found, folder / TRAINING) if TRAINING in files else found


def _with_past(name: str, found: ModelChoice, file: Path) -> ModelChoice:
    """What a trainer of ours wrote about how the model was made: data, rehearsal, licence."""
    told = _read_json(name, file)
    data = told.get("data") or ()
    if not all(isinstance(one, dict) and {"name", "revision"} <= one.keys() for one in data):
        raise InputError(f"--model {name}: {TRAINING}: every entry of data needs name and revision")
    learnt = [f"{one['name']}@{one['revision']}".rstrip("@") for one in data]
    known = {"parents": tuple(dict.fromkeys(learnt)), "rehearsal": told.get("rehearsal") is True}
    return found.model_copy(update=known | ({"license": stated} if (stated := _license(told)) else {}))


def check_whole(out: Path, files: Mapping[str, Any]) -> None:
    """Raise InputError unless every file that training.json names is in OUT, as long as it was; people may change the card."""
    for name, entry in files.items():
        file = out / name
        size = file.stat().st_size if file.is_file() else None
        if size is None or (name != CARD and size != entry["bytes"]):
            wrong = "is gone" if size is None else f"has {size:,} bytes, not {entry['bytes']:,}"
            raise InputError(
                f"--out {out}: {name} of the finished model {wrong}; put it back, or train into another folder"
            )


def _check_files(name: str, files: Collection[str], base: str = "") -> None:
    """Raise InputError unless the files are those of a whole model."""
    if ADAPTERS in files:
        instead = f"name its base, {base}" if base else "name its base"
        raise InputError(
            f"--model {name}: holds LoRA adapters, not a whole model; merge them first (peft: merge_and_unload), or {instead}"
        )
    if "config.json" not in files:
        raise InputError(f"--model {name}: has no config.json; expected {MAY_BE}")
    if not any(WEIGHTS.fullmatch(file) for file in files):
        raise InputError(
            f"--model {name}: has no weights; expected *.safetensors or pytorch_model.bin beside config.json"
        )


def _read_json(name: str, file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise InputError(f"--model {name}: {file.name} cannot be read: {one_line(wrong)}") from None
    if not isinstance(told, dict):
        raise InputError(f"--model {name}: {file.name} holds no JSON object")
    return told


def _license_of_card(card: Path) -> str:
    """The licence that a downloaded model card states; a card that is no YAML states none."""
    import yaml
    from huggingface_hub.repocard import metadata_load

    try:
        told = metadata_load(card) if card.exists() else None
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return _license(told or {})


def _license(card: dict[str, Any]) -> str:
    """An SPDX id, or the name that stands for `license: other`; cards and training.json say it alike."""
    stated = card.get("license") or ""
    stated = stated[0] if isinstance(stated, list) and stated else stated
    return str(card.get("license_name") or stated) if stated == "other" else str(stated)


def on_hub(name: str, repo: str, revision: str | None) -> ModelChoice:
    """The model of a Hub repository at the commit it has now; without a network, as an earlier download left it."""
    check_address(f"--model {name}")
    no_telemetry()
    import httpx2
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if not re.fullmatch(r"[!-~]*", get_token() or ""):  # the client's error would print it
        raise InputError(f"--model {name}: HF_TOKEN holds characters that no token has")
    api = HfApi()
    try:
        return _described(name, api, api.model_info(repo, revision=revision, timeout=SILENCE_SECONDS))
    except GatedRepoError:
        why = f"is gated; accept its terms on {api.endpoint}/{repo} and set HF_TOKEN to a token that may read it"
    except RepositoryNotFoundError:
        why = (
            f"no folder here and no model on {api.endpoint} has this name, or it is private and HF_TOKEN may not read it; "
            f"expected {MAY_BE}"
        )
    except RevisionNotFoundError:
        why = f"{repo} has no branch, tag or commit {revision}"
    except HfHubHTTPError as wrong:
        why = f"the Hub answered {wrong.response.status_code}: {one_line(wrong)}"
    except (httpx2.HTTPError, ConnectionError, LocalEntryNotFoundError) as wrong:
        return _in_cache(name, repo, revision, f"{api.endpoint} cannot be reached ({one_line(wrong)})")
    raise InputError(f"--model {name}: {why}")


def _described(name: str, api: "HfApi", info: "ModelInfo") -> ModelChoice:
    if info.gated:
        api.auth_check(info.id)
    files = {one.rfilename for one in info.siblings or ()}
    card = vars(info.card_data) if info.card_data else {}
    base = card.get("base_model")
    _check_files(name, files, base if isinstance(base, str) else "")
    found = ModelChoice(name=info.id, path=info.id, revision=str(info.sha), license=_license(card))
    if TRAINING not in files:
        return found
    return _with_past(name, found, Path(api.hf_hub_download(info.id, TRAINING, revision=info.sha)))


def _in_cache(name: str, repo: str, revision: str | None, why: str) -> ModelChoice:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(config, str):
        raise InputError(f"--model {name}: no folder here has this name, {why}, and it is not in the cache")
    snapshot = Path(config).parent
    found = in_folder(name, snapshot)
    return found.model_copy(update={"name": repo, "path": repo, "revision": snapshot.name})
