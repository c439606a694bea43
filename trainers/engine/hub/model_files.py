"""What of a trained model may leave this machine: the files its training.json names, whole, and nothing that is a pickle."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from builders.engine.folder import CARD, as_json, sha256_of
from schemas.base import Record
from schemas.settings import InputError
from trainers.engine.run import TRAINING

SAFETENSORS = ".safetensors"
PUSHED = re.compile(
    r"""
      (?:generation_|adapter_)?config\.json
    | (?!optimizer|scheduler)[\w.-]+\.safetensors(?:\.index\.json)?
    | (?:tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json
    | vocab\.txt | merges\.txt | [\w.-]+\.model | [\w.-]+\.tiktoken
    | chat_template\.jinja
    | README\.md | curves\.svg
    """,
    re.VERBOSE,
)
"""Names that `training.json` may give, none of them in a folder; it goes up itself as well."""
PICKLE = re.compile(r".*\.(?:bin|pt|pth|pkl|pickle|ckpt|joblib)")
PICKLE_OPENS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
"""Protocols 2 to 5, and the archive that `torch.save` writes."""
PATH = re.compile(r"""(?<![\w./:~<])(/[^\s/"'`]+/[^\s/"'`,;:)\]}]+)[^\s"'`]*""")
"""An absolute path, its first two folders in a group."""
OF_EVERY_MACHINE = ("/bin/", "/dev/", "/etc/", "/lib/", "/proc/", "/sbin/", "/sys/", "/usr/")
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")
"""Their strings are pieces of text; many a one has learnt `/tmp/` from programs."""


class FileEntry(Record):
    """A file of the model."""

    model_config = ConfigDict(extra="ignore", strict=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Training(Record):
    """What a push needs to know of training.json; it says more."""

    model_config = ConfigDict(extra="ignore", strict=True)

    finished: bool
    rehearsal: bool
    """It learnt from rows of the rehearsal teacher, or its base did."""
    fingerprint: str = Field(pattern=r"^[0-9a-f]{8,}$")
    unlicensed_rows: int
    files: dict[str, FileEntry]

    @property
    def tag(self) -> str:
        """The tag of this model on the Hub."""
        return f"run-{self.fingerprint[:8]}"

    @property
    def hashes(self) -> dict[str, str]:
        """File -> SHA-256; without the card, into which people write."""
        return {name: entry.sha256 for name, entry in self.files.items() if name != CARD}

    def same_model(self, other: "Training") -> bool:
        """Whether both describe the same files, made by the same run."""
        return (self.fingerprint, self.hashes) == (other.fingerprint, other.hashes)


class Model(NamedTuple):
    """A finished model in its folder."""

    folder: Path
    training: Training
    told: dict[str, Any]
    """All of training.json."""

    def told_with(self, card: bytes) -> bytes:
        """training.json, with the hash of the card as it is now if it names the card."""
        import hashlib

        if CARD not in self.told["files"]:
            return as_json(self.told)
        entry = {"sha256": hashlib.sha256(card).hexdigest(), "bytes": len(card)}
        return as_json({**self.told, "files": {**self.told["files"], CARD: entry}})


def training_of(text: str) -> Training:
    """What a training.json says; raises ValueError, which names the field, when it is none."""
    try:
        return Training.model_validate_json(text)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{field}: {first['msg']}" if field else str(first["msg"])) from None


def publishable(folder: Path) -> Model:
    """The model in a folder; raises InputError unless it is finished, whole, and everybody may have it."""
    try:
        text = (folder / TRAINING).read_text(encoding="utf-8")
        model = Model(folder, training_of(text), json.loads(text))
    except FileNotFoundError:
        raise InputError(f"--push: {folder} holds no {TRAINING}, so no finished model") from None
    except ValueError as wrong:
        raise InputError(f"--push: {folder / TRAINING}: {wrong}") from None
    training = model.training
    if not training.finished:
        raise InputError(f"--push: the training in {folder} has not ended; go on with --resume")
    if training.rehearsal:
        raise InputError(f"--push: the model in {folder} learnt from rehearsal rows; such a model stays here")
    if rows := training.unlicensed_rows:
        raise InputError(
            f"--push: the model in {folder} learnt from {rows:,} rows without a licence; train on rows that have one"
        )
    _refuse_unfit_files(folder, training.hashes)
    _refuse_paths(folder, [*training.files, TRAINING])
    return model


def _refuse_unfit_files(folder: Path, named: Mapping[str, str]) -> None:
    if not any(name.endswith(SAFETENSORS) for name in named):
        raise InputError(f"--push: {folder / TRAINING} names no weights in safetensors")
    for name, digest in named.items():
        if PICKLE.fullmatch(name):
            raise InputError(f"--push: {folder / name} is a pickle, which runs code where it is loaded; it stays here")
        if not PUSHED.fullmatch(name):
            raise InputError(f"--push: {TRAINING} names {name}, which is no file of a model")
        if not (folder / name).is_file():
            raise InputError(f"--push: {folder / name} is gone, which {TRAINING} names; train again")
        if sha256_of(folder / name) != digest:
            raise InputError(f"--push: {folder / name} is not the file that {TRAINING} names; train again")
        if _is_pickle(folder / name):
            raise InputError(f"--push: {folder / name} is a pickle by its first bytes; it stays here")


def _refuse_paths(folder: Path, names: Iterable[str]) -> None:
    """Where things lie on this machine, and so its users' names, are nobody else's business."""
    for name in names:
        file = folder / name
        if name.endswith((".json", ".md")) and name not in VOCABULARIES and file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            told = json.dumps(json.loads(text), ensure_ascii=False) if name.endswith(".json") else text
            if found := path_of_this_machine(told):
                raise InputError(f"--push: {file} holds {found}, a place on this machine; it stays here")


def path_of_this_machine(text: str) -> str:
    """The first absolute path in a text whose first two folders are here; "" when there is none."""
    paths = (found for found in PATH.finditer(text) if not found[0].startswith(OF_EVERY_MACHINE))
    return next((found[0] for found in paths if Path(found[1]).exists()), "")


def _is_pickle(path: Path) -> bool:
    """Whatever it is called; safetensors has the length of a JSON header first, which may look like a pickle."""
    with path.open("rb") as file:
        opens = file.read(9)
    if path.name.endswith(SAFETENSORS):
        return opens[8:] != b"{"
    return opens.startswith(PICKLE_OPENS)
