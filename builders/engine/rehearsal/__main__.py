"""Run the rehearsal teacher on its own: `python -m builders.engine.rehearsal --port 8000 --latency 0.3`."""

import asyncio
import json
from typing import ClassVar

from pydantic import Field

from builders.engine.rehearsal.faults import Manners
from builders.engine.rehearsal.server import Rehearsal
from schemas.settings import InputError, Settings, run_command


class Rehearse(Manners, Settings):  # type: ignore[misc]  # both are frozen and strict
    """Serve the rehearsal teacher on loopback until interrupted; prints its address as one JSON line."""

    command: ClassVar[str] = "rehearsal"

    port: int = Field(default=0, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""


async def _serve(settings: Rehearse) -> None:
    manners = Manners(**settings.model_dump(include=set(Manners.model_fields)))
    async with Rehearsal(manners, port=settings.port) as rehearsal:
        print(json.dumps({"url": rehearsal.url}), flush=True)
        await asyncio.Event().wait()


def main(settings: Rehearse) -> int:
    """Serve until Ctrl-C."""
    try:
        asyncio.run(_serve(settings))
    except KeyboardInterrupt:
        return 0
    except OSError as wrong:
        raise InputError(f"--port {settings.port}: {wrong.strerror}") from None
    return 0


if __name__ == "__main__":
    run_command(Rehearse, main)
