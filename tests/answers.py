"""Chat completions as the scripted servers of the tests send them."""

from typing import Any

from aiohttp import web


def completion(content: Any, *, usage: Any = None) -> web.Response:
    """A whole completion with this content."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    said = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return web.json_response(
        {**said, "usage": usage or {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    )
