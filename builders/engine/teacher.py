"""One endpoint, asked over HTTP with the openai client: what was sent, what came back, and what a failure means.

The SDK's own retries are off: every attempt is entered in the ledger before it leaves, so a retry inside the SDK could
be billed without anybody knowing.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from builders.engine.budget import Cost
from builders.engine.endpoints import KEY_OF_BASE_URL, ServedModel
from builders.engine.ledger import Answer
from builders.engine.throttle import Throttle, seconds

if TYPE_CHECKING:
    import httpx2
    import openai

REHEARSAL_HEADER = "x-suwen-rehearsal"
"""Response header by which the rehearsal teacher marks everything it says."""
FILTERED = {"content_filter", "content_policy_violation", "data_inspection_failed", "context_length_exceeded"}
"""Error codes that are about the text of one request, whatever the endpoint has answered before."""
ABOUT_ONE_REQUEST = {400, 413, 422, 451}
"""Statuses that can be about one request, when others are answered. 402 and the rest are about all of them."""
REFUSALS_IN_A_ROW = 25
MOST_SHOWN = 300
MOST_TOKENS = 2**31


class Failure(NamedTuple):
    """An attempt that brought no answer.

    `kind`: `wrong address` (nothing there, or not an API), `unavailable`, `throttled` (429), `timed out`, `refused`
    (about this request), `misconfigured` (about every request). `doubt`: it may have been paid for.
    """

    kind: Literal["wrong address", "unavailable", "throttled", "timed out", "refused", "misconfigured"]
    message: str
    doubt: bool = False
    retry_after: float | None = None


def refusal(failure: Failure) -> Answer:
    """A refusal, remembered like an answer so that it is not asked for again."""
    body = json.dumps({"refused": failure.message}, ensure_ascii=False).encode()
    return Answer(body, True, False, 0, 0, 0.0, time.time())


def cost_of(outcome: Answer | Failure | None, worst: Cost) -> Cost:
    """What an attempt came to: nothing, its worst case while that is in doubt, or what was used."""
    if isinstance(outcome, Answer):
        return Cost(outcome.tokens_in + outcome.tokens_out, outcome.usd or 0.0)
    return worst if outcome is not None and outcome.doubt else Cost(0, 0.0)


class Teacher:
    """A served model. `send` makes one attempt and never raises for what a server can do."""

    def __init__(self, served: ServedModel, throttle: Throttle) -> None:
        import openai

        self.served = served
        self.throttle = throttle
        self.last_answer = float("-inf")
        """Loop time of the latest answer; -inf while the endpoint has not answered in this run."""
        self.answers = 0
        self._refusals = 0
        """Refusals since the latest answer."""
        endpoint = served.endpoint
        self._secret = endpoint.key()
        self._clients = [
            openai.AsyncOpenAI(
                base_url=url,
                api_key=self._secret or "none",
                max_retries=0,
                timeout=endpoint.timeout,
                http_client=openai.DefaultAioHttpClient(trust_env=not is_loopback(url)),
            )
            for url in endpoint.base_urls
        ]
        if endpoint.name != "openai":  # the SDK takes these from the environment; they are nobody else's business
            for client in self._clients:
                client.organization = client.project = None
        self._turns = itertools.cycle(self._clients)

    @property
    def client(self) -> "openai.AsyncOpenAI":
        """The client of the first address, where batches go."""
        return self._clients[0]

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(client.close() for client in self._clients))

    async def send(self, request: Mapping[str, Any]) -> Answer | Failure:
        """One attempt: POST /chat/completions with this body.

        By the SDK's `post` rather than `chat.completions.create`: the request is whole already, and walking it against
        its type hints takes a third of the SDK's time.
        """
        import httpx2
        import openai

        client = next(self._turns)
        content = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
        try:
            response = await client.post("/chat/completions", cast_to=httpx2.Response, content=content)
        except openai.APIError as wrong:
            failure = self.failure(wrong, str(client.base_url))
            if failure.kind in ("throttled", "timed out"):
                self.throttle.pushed_back(failure.retry_after)
            return failure
        return self._answer(request, response)

    def _answer(self, request: Mapping[str, Any], response: "httpx2.Response") -> Answer | Failure:
        answer = self.heard(
            response.content, rehearsal=REHEARSAL_HEADER in response.headers, most_in=lambda: worst_input(request)
        )
        if isinstance(answer, str):
            is_json = "json" in response.headers.get("content-type", "")
            message = f"{response.url} answered 200 with something that is no chat completion: {answer}"
            return Failure("unavailable" if is_json else "wrong address", message, doubt=is_json)
        self.throttle.answered(response.headers)
        return answer

    def heard(self, body: bytes, *, rehearsal: bool, most_in: Callable[[], int], batch: bool = False) -> Answer | str:
        """A completion as an Answer; when the body is none, its beginning. `most_in` is asked when no usage is stated."""
        body = self._clean(body)
        try:
            completion = json.loads(body)
            text = plain_text(completion["choices"][0]["message"].get("content"))
            usage = completion.get("usage")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            return repr(body[:80].decode(errors="replace").replace("\n", " "))
        self.last_answer = asyncio.get_running_loop().time()
        self.answers += 1
        self._refusals = 0
        tokens_in = _count(usage, "prompt_tokens") or most_in()
        tokens_out = _count(usage, "completion_tokens") or len(text.encode())
        price = self.served._replace(batch=batch).price
        usd = price.usd(tokens_in, tokens_out) if price else None
        return Answer(body, False, rehearsal, tokens_in, tokens_out, usd, time.time())

    def failure(self, wrong: "openai.APIError", url: str) -> Failure:
        """What an SDK error means. On aiohttp the SDK calls any connection error a time-out, so the causes decide."""
        import aiohttp
        import openai

        if isinstance(wrong, openai.APIStatusError):
            return self._refusal(wrong, url)
        causes = list(chain(wrong))
        if untrusted := next((cause for cause in causes if isinstance(cause, aiohttp.ClientSSLError)), None):
            return Failure("wrong address", f"{url}: no secure connection ({untrusted})")
        if never_connected := next(
            (cause for cause in causes if isinstance(cause, aiohttp.ClientConnectorError)), None
        ):
            return Failure("wrong address", f"nothing listens at {url} ({_plain(never_connected.os_error)})")
        if any(isinstance(cause, TimeoutError) for cause in causes):
            waited = f"{self.served.endpoint.timeout:g} s"
            return Failure("timed out", f"{url}: no answer within {waited}", doubt=True)
        lost = next((cause for cause in causes if isinstance(cause, aiohttp.ClientError)), wrong)
        return Failure("unavailable", self._clean_text(f"{url}: connection lost ({lost})"), doubt=True)

    def _refusal(self, wrong: "openai.APIStatusError", url: str) -> Failure:
        status, code = wrong.status_code, wrong.code or ""
        said = plain_text(self._clean_text(_said(wrong)))
        message = f"{url} answered {status}: {said[:MOST_SHOWN]}"
        if status == 401 or status == 403:
            hint = self.served.endpoint.key_env or KEY_OF_BASE_URL
            return Failure("misconfigured", f"{message}; check the key in {hint}")
        if status == 429 and code != "insufficient_quota":
            retry_after = seconds(wrong.response.headers.get("retry-after", ""))
            return Failure("throttled", message, retry_after=retry_after)
        if status == 404 and "/v1" not in url:
            return Failure("misconfigured", f"{message}; most servers want an address that ends in /v1")
        if status in (404, 429):
            return Failure("misconfigured", message)
        if status >= 500 or status in (408, 409, 425):
            return Failure("unavailable", message, doubt=status == 504)
        about_text = status in ABOUT_ONE_REQUEST and self.last_answer > float("-inf")
        if code in FILTERED or (about_text and self._refusals < REFUSALS_IN_A_ROW):
            self._refusals += 1
            return Failure("refused", message)
        return Failure("misconfigured", message)

    def _clean(self, body: bytes) -> bytes:
        """The body without our key, should a server ever echo it."""
        return body.replace(self._secret.encode(), b"[key]") if self._secret else body

    def _clean_text(self, text: str) -> str:
        return text.replace(self._secret, "[key]") if self._secret else text


def plain_text(content: Any) -> str:
    """An answer's content as text that UTF-8 can hold: parts are joined, half emoji replaced; nothing is ""."""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return str(content or "").encode("utf-8", "replace").decode()


def is_loopback(url: str) -> bool:
    """Whether an address is this machine, to which no proxy leads."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _count(usage: Any, name: str) -> int:
    """A token count as the server states it; 0 when it states none that can be one."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < MOST_TOKENS else 0


def worst_input(request: Mapping[str, Any]) -> int:
    """Upper bound of the prompt's tokens: a byte is at most one token, and a message adds at most eight."""
    content = sum(len(said["content"].encode()) + 8 for said in request["messages"])
    return content + len(json.dumps(request.get("response_format", ""), ensure_ascii=False).encode())


def chain(wrong: BaseException) -> Iterator[BaseException]:
    """An exception and all that caused it, outermost first."""
    link: BaseException | None = wrong
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _plain(wrong: OSError) -> str:
    return os.strerror(wrong.errno) if wrong.errno and wrong.errno > 0 else wrong.strerror or str(wrong)


def _said(wrong: "openai.APIStatusError") -> str:
    body = wrong.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return " ".join(wrong.response.text.split())
