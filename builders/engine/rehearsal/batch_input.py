"""The input files of the rehearsal's batches: their requests, or what is wrong with them."""

import hashlib
import json
from collections.abc import Container
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from schemas.base import canonical

MOST_REQUESTS = 50_000


class Body(BaseModel):
    """A chat request, as far as it is looked at before the batch runs."""

    model: str
    messages: list[Any]
    stream: Literal[False] | None = None


class Request(BaseModel):
    """A line of an input file."""

    custom_id: str
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: Body


CODES = {"": "invalid_json_line", "url": "invalid_url", "body.stream": "streaming_unsupported"}
"""Field of a line that is wrong -> OpenAI's code for it, where it has one of its own."""


class Line(NamedTuple):
    """A request of a batch. `body` is canonical JSON; `attempt` says how often the request has come by now."""

    custom_id: str
    body: bytes
    attempt: int = 0

    @property
    def key(self) -> str:
        """The request's name among all that were asked, online or in a batch."""
        return hashlib.sha256(self.body).hexdigest()


class Fault(NamedTuple):
    """Why a batch fails validation."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


def read(data: bytes | None) -> tuple[list[Line], list[Fault]]:
    """The requests in an input file, or what is wrong with it; None when there is no such file."""
    if data is None:
        return [], [Fault("invalid_request", "Cannot find the input file.", None, "file_id")]
    texts = [(number, text) for number, text in enumerate(data.split(b"\n"), start=1) if text.strip()]
    if not texts:
        return [], [Fault("empty_file", "The input file is empty.")]
    if len(texts) > MOST_REQUESTS:
        return [], [Fault("too_many_tasks", f"The input file has {len(texts)} requests of at most {MOST_REQUESTS}.")]
    lines: dict[str, Line] = {}
    faults, models = [], set[str]()
    for number, text in texts:
        if wrong := _wrong(text, lines, models):
            faults.append(wrong._replace(line=number))
            continue
        record = json.loads(text)
        lines[record["custom_id"]] = Line(record["custom_id"], canonical_body(record["body"]))
        models.add(record["body"]["model"])
    return ([], faults) if faults else (list(lines.values()), [])


def _wrong(text: bytes, seen: Container[str], models: set[str]) -> Fault | None:
    """What is wrong with a line, given the custom ids and the model of the lines before it."""
    try:
        request = Request.model_validate_json(text)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        param = ".".join(map(str, first["loc"]))
        lacking = first["type"] == "missing" and len(first["loc"]) == 1
        code = "missing_required_parameter" if lacking else CODES.get(param, "invalid_request")
        return Fault(code, f"{param or 'line'}: {first['msg']}", param=param or None)
    if request.custom_id in seen:
        return Fault("duplicate_custom_id", f"Another request has custom_id {request.custom_id!r}.", param="custom_id")
    if models - {request.body.model}:
        return Fault("mismatched_model", "All requests of a batch must name one model.", param="body.model")
    return None


def canonical_body(value: Any) -> bytes:
    """One text for equal requests, so that a request counts as the same one online and in a batch."""
    return canonical(value).encode("utf-8", "surrogatepass")
