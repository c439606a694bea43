"""Where teachers live: named OpenAI-compatible endpoints, from `suwen.toml` or the recipe.

    [endpoints.ward]
    base_urls = ["http://gpu1:8000/v1", "http://gpu2:8000/v1"]
    key_env = "WARD_KEY"
    usd_per_million = [0.1, 0.4]
    answer_limit = 8192
    sends = ["max_tokens", "response_format", "temperature", "seed"]

`openai` and `rehearsal` are built in. Every flag that names a model takes MODEL[@ENDPOINT].
"""

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from builders.engine.budget import Price
from schemas.base import Record
from schemas.settings import InputError, read_toml, recipe_path

OptionalField = Literal["max_tokens", "max_completion_tokens", "response_format", "temperature", "seed"]

KEY_OF_BASE_URL = "SUWEN_API_KEY"
"""Environment variable whose key, when set, goes to the server that --base-url names; no other key goes there."""


class Endpoint(Record):
    """One OpenAI-compatible service; its name, never its address, is part of a ledger key."""

    name: str
    base_urls: tuple[str, ...] = Field(min_length=1)
    """Addresses that serve the same models; calls go to them in turn."""
    key_env: str | None = None
    """Environment variable that holds the key; None sends none."""
    usd_per_million: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    """Price as [in, out], or per model."""
    answer_limit: int = Field(default=8192, gt=0)
    """Tokens an answer may have; also what the budget reserves for it."""
    sends: tuple[OptionalField, ...] = ("max_tokens", "response_format", "temperature", "seed")
    """Optional request fields the service understands."""
    timeout: float = Field(default=300.0, gt=0)
    """Seconds to wait for an answer."""
    batch_discount: float = Field(default=0.0, ge=0, lt=1)
    """What --batch takes off the price, e.g. 0.5."""

    @field_validator("base_urls")
    @classmethod
    def _urls_hold_no_secret(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            try:
                parts = urlsplit(url)
                _ = parts.port  # raises when it is none
            except ValueError:
                raise ValueError(f"expected http://HOST/v1 or https://HOST/v1, got {url!r}") from None
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"expected http://HOST/v1 or https://HOST/v1, got {url!r}")
            if parts.username or parts.password or parts.query:
                raise ValueError(
                    f"the address of {parts.hostname} carries a credential or a query; name a key_env instead"
                )
        return urls

    def price(self, model: str) -> Price | None:
        """What the model costs here, if anyone said."""
        if isinstance(self.usd_per_million, dict):
            found = self.usd_per_million.get(model)
            return Price(*found) if found else None
        return Price(*self.usd_per_million) if self.usd_per_million else None

    def key(self) -> str | None:
        """The secret, read from the environment at the moment it is needed; None when this endpoint wants none."""
        if self.key_env is None:
            return None
        secret = os.environ.get(self.key_env, "").strip()
        if not secret:
            raise InputError(f"endpoint {self.name}: no key; set the environment variable {self.key_env}")
        if not (secret.isascii() and secret.isprintable()):
            raise InputError(f"endpoint {self.name}: the key in {self.key_env} holds characters that no key has")
        return secret


OPENAI = Endpoint(
    name="openai",
    base_urls=("https://api.openai.com/v1",),
    key_env="OPENAI_API_KEY",
    # List prices as third parties printed them in June 2026; --price or suwen.toml overrides them.
    usd_per_million={"gpt-5": (1.25, 10.0), "gpt-5-mini": (0.25, 2.0)},
    sends=("max_completion_tokens", "response_format"),
    batch_discount=0.5,
)
UNSTARTED = ("http://127.0.0.1/v1",)
"""Stands for the address of the built-in rehearsal until its server has started."""
REHEARSAL = Endpoint(name="rehearsal", base_urls=UNSTARTED, usd_per_million=(0.0, 0.0), timeout=60.0)


class ServedModel(NamedTuple):
    """A model at an endpoint: what MODEL[@ENDPOINT] means."""

    model: str
    endpoint: Endpoint
    batch: bool = False
    """Asked in batches, at their price."""
    temperature: float = 1.0
    """Asked for at this sampling temperature, where the endpoint takes one."""

    @property
    def price(self) -> Price | None:
        """What the model costs this way, if anyone said."""
        price = self.endpoint.price(self.model)
        if price is None or not self.batch:
            return price
        part = 1 - self.endpoint.batch_discount
        return Price(price.tokens_in * part, price.tokens_out * part)

    def __str__(self) -> str:
        return self.model if self.model == self.endpoint.name else f"{self.model}@{self.endpoint.name}"


def served_model(flag: str, value: str, *, base_url: str | None, price: str | None, recipe: str | None) -> ServedModel:
    """What MODEL[@ENDPOINT] names; raises InputError, naming the flag, when there is no such endpoint."""
    model, _, name = value.partition("@")
    known = {"openai": OPENAI, "rehearsal": REHEARSAL, **_configured(recipe)}
    if base_url:
        model = value if name and name not in known else model  # an @ of the model's own: REPO@REVISION
        endpoint = _at(base_url, known.get(name))
    elif model == "rehearsal" and not name:
        endpoint = known["rehearsal"]
    elif not name:
        raise InputError(
            f"{flag} {value}: which endpoint? Say {model}@ENDPOINT ({', '.join(known)}) or give --base-url"
        )
    elif name not in known:
        raise InputError(
            f"{flag} {value}: no endpoint is named {name!r}; known: {', '.join(known)} (suwen.toml adds more)"
        )
    else:
        endpoint = known[name]
    if price:
        tokens_in, tokens_out = map(float, price.split(","))
        endpoint = endpoint.model_copy(update={"usd_per_million": (tokens_in, tokens_out)})
    return ServedModel(model, endpoint)


def _at(base_url: str, like: Endpoint | None) -> Endpoint:
    """The endpoint behind --base-url: named by its host, or the named one at another address."""
    if like is not None:
        return _checked(like.name, {**like.model_dump(exclude={"name"}), "base_urls": [base_url]}, "--base-url")
    key_env = KEY_OF_BASE_URL if os.environ.get(KEY_OF_BASE_URL) else None
    try:
        host = urlsplit(base_url).hostname or "unnamed"
    except ValueError:
        host = "unnamed"
    return _checked(host, {"base_urls": [base_url], "key_env": key_env}, "--base-url")


def _configured(recipe: str | None) -> dict[str, Endpoint]:
    files = [Path("suwen.toml")] if Path("suwen.toml").exists() else []
    files += [recipe_path(recipe)] if recipe else []
    tables: dict[str, tuple[dict[str, Any], str]] = {}
    for file in files:
        endpoints = read_toml(file).get("endpoints", {})
        if not isinstance(endpoints, dict) or not all(isinstance(table, dict) for table in endpoints.values()):
            raise InputError(f"{file}: endpoints: expected tables, [endpoints.NAME]")
        tables |= {name: (table, str(file)) for name, table in endpoints.items()}
    return {name: _checked(name, table, f"{file}: [endpoints.{name}]") for name, (table, file) in tables.items()}


def _checked(name: str, table: dict[str, Any], where: str) -> Endpoint:
    try:
        return Endpoint.model_validate({"name": name, **table})
    except ValidationError as wrong:
        error = wrong.errors()[0]
        field = ".".join(str(part) for part in error["loc"])
        raise InputError(f"{where}: {field}: {error['msg'].removeprefix('Value error, ')}") from None
