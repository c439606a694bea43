"""What can go wrong between a client and the Hub of the tests."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from aiohttp import web


@dataclass
class Fault:
    """What befalls the next `times` requests of a method (or any: "") whose path holds a regular expression."""

    method: str
    path: str
    action: int | Literal["lost", "cut", "slow"] | Callable[[], object]
    """A status to answer instead; `lost`: done, but never answered; `cut`: neither; `slow`: done `seconds` later; or
    something to call first, such as somebody else's commit."""
    times: int = 1
    seconds: float = 0.5

    def strikes(self, request: web.Request) -> bool:
        """Whether this request is one of them, which uses it up."""
        hit = self.times > 0 and self.method in ("", request.method) and re.search(self.path, request.path)
        self.times -= bool(hit)
        return bool(hit)


def broken(status: int) -> web.Response:
    """A status with the body a gateway (HTML) or the Hub itself (JSON) sends along."""
    phrase = HTTPStatus(status).phrase
    if status in (502, 504):
        return web.Response(status=status, text=f"<html><h1>{phrase}</h1></html>", content_type="text/html")
    return web.json_response({"error": phrase}, status=status)
