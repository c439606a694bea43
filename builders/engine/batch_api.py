"""OpenAI's Batch API over HTTP: files up, a batch, its state, its results (platform.openai.com/docs/guides/batch).

Nothing here is sent twice by accident: a batch carries our name in its metadata, and when the answer to its creation
is lost, the endpoint's own list says whether it exists.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from builders.engine.errors import Misconfigured, Unavailable
from builders.engine.teacher import REHEARSAL_HEADER, Failure, Teacher

T = TypeVar("T")

MARK = "suwen"
"""Metadata field that holds the name we gave a batch."""
TRIES = 8  # waiting 0.5 + 1 + 2 + ... + 30 s between them: about a minute
LONGEST_WAIT = 30.0
LOOKS = 3
"""How often a batch that may exist is looked for: the list can lag behind its creation."""
SECONDS_BETWEEN_LOOKS = 1.0
CLOCKS_APART = 86_400.0
"""Seconds that the endpoint's clock may differ from ours."""
PAGE = 100
OVER = ("completed", "failed", "expired", "cancelled", "gone")


class State(NamedTuple):
    """Where a batch stands."""

    status: str
    """As the endpoint says it; `gone` when it knows no such batch."""
    files: tuple[str, ...] = ()
    """Its result files: answers, then errors."""
    trouble: tuple[tuple[str, str], ...] = ()
    """Code and message of all that keeps it from running."""
    done: str = ""
    """Requests that are through, of all."""
    through: int = 0
    """How many lines its files have, as far as it says."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in OVER


class _Listed(NamedTuple):
    id: str
    name: str | None
    created_at: float
    """Unix time; infinite when it is not said."""


class _Page(NamedTuple):
    batches: list[_Listed]
    more: bool


class Result(NamedTuple):
    """One line of a result file."""

    key: str
    status: int
    """HTTP status of its response; 0 when it was never executed."""
    body: bytes
    said: str
    """What went wrong, if anything."""
    rehearsal: bool


class BatchApi:
    """The batches of one teacher. Methods try again where that helps, then raise Unavailable; or Misconfigured at once."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._client = teacher.client

    async def upload(self, lines: Iterable[bytes]) -> str:
        """Hand over lines (see `line_of`) as a file; returns its id. Nothing is bought by it."""
        data = b"".join(lines)
        return _id(await self._tried(lambda: self._client.files.create(file=("suwen.jsonl", data), purpose="batch")))

    async def create(self, name: str, file: str) -> str:
        """Make a batch that carries `name` of a file; returns its id. Raises Misconfigured only when there surely is none."""
        maybe = False
        for attempt in range(TRIES):
            made = await self._once(
                lambda: self._client.batches.create(
                    input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h", metadata={MARK: name}
                )
            )  # fmt: skip
            if not isinstance(made, Failure) and _id(made):
                return _id(made)
            failure = made if isinstance(made, Failure) else _nonsense(made)
            maybe = maybe or failure.kind in ("unavailable", "timed out")
            try:
                if maybe and (found := await self.find(name, since=0.0)):
                    return found
                await self._wait(failure, attempt)
            except Misconfigured as wrong:
                raise Unavailable(str(wrong)) if maybe else wrong from None
        raise AssertionError("the last wait raises")

    async def find(self, name: str, *, since: float, looks: int = LOOKS) -> str | None:
        """The id of the batch that carries a name, among those created after `since` (Unix time); None when there is none."""
        for look in range(looks):
            if found := await self._listed(name, since):
                return found
            if look + 1 < looks:
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        return None

    async def _listed(self, name: str, since: float) -> str | None:
        after: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._tried(partial(self._page, after))
            for one in page.batches:
                if one.name == name:
                    return one.id
            oldest = page.batches[-1] if page.batches else None
            if oldest is None or not page.more or oldest.id in seen or oldest.created_at < since - CLOCKS_APART:
                return None
            seen.add(oldest.id)
            after = oldest.id

    async def _page(self, after: str | None) -> "_Page":
        """A page of the list; the client checks nothing of a 200, so what is no batch is left out here."""
        page = await self._client.batches.list(limit=PAGE, extra_query={"after": after} if after else {})
        batches = []
        if not isinstance(page.data, list):
            raise ValueError("a list of batches without a list")
        for one in page.data:
            metadata, created_at = getattr(one, "metadata", None), getattr(one, "created_at", None)
            name = metadata.get(MARK) if isinstance(metadata, dict) else None
            batches.append(_Listed(_id(one), name, created_at if isinstance(created_at, int) else math.inf))
        return _Page([one for one in batches if one.id], page.has_more is not False)

    async def look(self, remote: str) -> State:
        """Where a batch stands now."""
        import openai

        async def retrieved() -> State:
            try:
                return _state(await self._client.batches.retrieve(remote))
            except openai.NotFoundError:
                return State("gone")

        state = await self._tried(retrieved)
        for attempt in range(TRIES):  # a proxy's 404 passes; buying a whole batch again does not
            if state.status != "gone":
                break
            await asyncio.sleep(min(LONGEST_WAIT, 0.5 * 2**attempt))
            state = await self._tried(retrieved)
        return state

    async def results(self, file: str) -> AsyncIterator[Result]:
        """The lines of a result file, in the order the endpoint wrote them; read anew from the start when it breaks off."""
        seen: set[str] = set()
        for attempt in range(TRIES):
            try:
                async for result in self._streamed(file):
                    if result.key not in seen:
                        seen.add(result.key)
                        yield result
            except _Broken as broken:
                if broken.gone and attempt + 1 >= LOOKS:
                    return  # somebody deleted it; what it held is in doubt
                await self._wait(broken.failure, attempt)
            else:
                return

    async def _streamed(self, file: str) -> AsyncIterator[Result]:
        """Split at newlines alone: JSON may hold what Python takes for line ends."""
        import httpx2
        import openai

        rest = b""
        try:
            async with self._client.files.with_streaming_response.content(file) as response:
                rehearsal = REHEARSAL_HEADER in response.headers
                async for chunk in response.iter_bytes():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield _result(line, rehearsal=rehearsal)
            if rest.strip():
                json.loads(rest)  # a last line that is cut: read again
                yield _result(rest, rehearsal=rehearsal)
        except openai.NotFoundError:
            failure = Failure("unavailable", f"{self._client.base_url} has no file {file}")
            raise _Broken(failure, gone=True) from None
        except openai.APIError as wrong:
            raise _Broken(self._teacher.failure(wrong, str(self._client.base_url))) from None
        except (httpx2.HTTPError, ValueError) as wrong:
            raise _Broken(Failure("unavailable", f"{self._client.base_url}: file {file} broke off ({wrong})")) from None

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question that may be asked again."""
        for attempt in range(TRIES):
            found = await self._once(call)
            if isinstance(found, Failure):
                await self._wait(found, attempt)
            elif isinstance(found, str | list):
                await self._wait(_nonsense(found), attempt)
            else:
                return found
        raise AssertionError("the last wait raises")

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T | Failure:
        import openai

        try:
            return await call()
        except openai.APIError as wrong:
            return self._teacher.failure(wrong, str(self._client.base_url))
        except (ValueError, TypeError, AttributeError) as wrong:  # the SDK checks nothing of a 200
            return _nonsense(wrong)

    async def _wait(self, failure: Failure, attempt: int) -> None:
        if failure.kind in ("misconfigured", "refused"):
            raise Misconfigured(f"--batch: {failure.message}")
        if attempt + 1 == TRIES:
            raise Unavailable(f"--batch: {failure.message} ({TRIES} attempts)")
        await asyncio.sleep(max(failure.retry_after or 0.0, min(LONGEST_WAIT, 0.5 * 2**attempt)))


class _Broken(Exception):
    """A result file could not be read to its end."""

    def __init__(self, failure: Failure, *, gone: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.gone = gone


def line_of(key: str, request: Mapping[str, Any]) -> bytes:
    """A chat request as a line of an input file; its key comes back with the result."""
    line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": request}
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _result(line: bytes, *, rehearsal: bool) -> Result:
    """A line as it counts: its HTTP status decides, for a response that is an error has no `error` of its own."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    found = found if isinstance(found, dict) else {}
    response, error = ({} if not isinstance(found.get(name), dict) else found[name] for name in ("response", "error"))
    body = response.get("body")
    said = str(error.get("message") or error.get("code") or "")
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        said = str(body["error"].get("message") or said)
    status = response.get("status_code")
    return Result(
        key=str(found.get("custom_id")),
        status=status if isinstance(status, int) else 0,
        body=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        said=said,
        rehearsal=rehearsal,
    )


def _state(batch: Any) -> State:
    """Where a batch stands; raises ValueError when the answer is none. The client checks nothing of a 200."""
    if not isinstance(getattr(batch, "status", None), str):
        raise ValueError(f"{str(batch)[:80]!r} is no batch")
    files = tuple(file for file in (batch.output_file_id, batch.error_file_id) if isinstance(file, str) and file)
    errors = getattr(batch.errors, "data", None)
    told = [(getattr(one, "code", None), getattr(one, "message", one)) for one in errors or ()]
    counts = batch.request_counts
    completed, failed, total = (_count(counts, name) for name in ("completed", "failed", "total"))
    done = f"{completed + failed:,} of {total:,}" if total else ""
    trouble = tuple((str(code or ""), str(message or "")) for code, message in told)
    return State(batch.status.lower(), files, trouble, done, completed + failed)


def _count(counts: Any, name: str) -> int:
    value = getattr(counts, name, None)
    return value if isinstance(value, int) else 0


def _id(made: Any) -> str:
    """The id of what was made; "" when the answer was something else, which the client does not check."""
    id = getattr(made, "id", None)
    return id if isinstance(id, str) else ""


def _nonsense(answer: Any) -> Failure:
    return Failure("unavailable", f"the endpoint answered 200 with something else: {str(answer)[:80]!r}", doubt=True)
