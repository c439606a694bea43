"""What a run says at its end: the count at every arrow, the release, where it was pushed, and the next command to type."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from builders.engine.push import Pushed
from builders.engine.release import Release, told
from builders.engine.run import Workshop
from builders.engine.steps import Steps
from schemas.settings import BuildSettings


def say_what_was_made(settings: BuildSettings, workshop: Workshop, released: Release) -> None:
    """What became of everything that was judged, and what the release holds."""
    rejects = sum(workshop.reasons.values())
    print(f"{workshop.accepted + rejects} judged → {rejects} rejected → {workshop.accepted} rows", file=sys.stderr)
    say_why_rejected(workshop)
    splits = ", ".join(f"{split} {count}" for split, count in released.splits.items())
    print(f"{released.config} {released.version} → {settings.out} ({splits})", file=sys.stderr)
    if released.changes is not None:
        print(f"  {told(released.changes, 'since the release before')}", file=sys.stderr)
    if not settings.push:
        load = f"datasets.load_dataset({str(settings.out)!r}, {released.config!r})"
        print(f'next: python -c "import datasets; print({load})"', file=sys.stderr)


def say_why_rejected(workshop: Workshop) -> None:
    """The reasons, the most frequent first."""
    for reason, count in sorted(workshop.reasons.items(), key=lambda item: -item[1]):
        print(f"  {count:6d} {reason}", file=sys.stderr)


def say_what_was_seen(workshop: Workshop) -> None:
    """The reasons when nothing is released, and the first reject: there is no folder to look them up in."""
    say_why_rejected(workshop)
    if first := next(iter(workshop.rejected), None):
        rejected = json.loads(first)
        print(f"  e.g. {rejected['key']}: {rejected['reason']}: {rejected['detail'][:200]}", file=sys.stderr)


def say_where_it_is(pushed: Pushed, folder: Path, config: str, *, public: bool) -> None:
    """Where the release stands on the Hub, and what to type next."""
    if pushed.pull_request:
        print(f"{pushed.pull_request} proposes it; nothing is tagged yet", file=sys.stderr)
        command = f"python -m builders.publish {shlex.quote(str(folder))} --push {pushed.repo}{' --public' * public}"
        print(f"next, once it is merged (before that, it would publish without it): {command}", file=sys.stderr)
        return
    if pushed.tag is None:
        print(f"{pushed.repo} holds it already, without a tag; run again without --pr to tag it", file=sys.stderr)
        return
    done = "pushed and read back" if pushed.made else "was there already, read back"
    print(f"{pushed.repo} {pushed.tag}: {done}, every SHA-256 as in the manifest", file=sys.stderr)
    load = f"datasets.load_dataset({pushed.repo!r}, {config!r}, revision={pushed.tag!r})"
    print(f'next: python -c "import datasets; print({load})"', file=sys.stderr)


def summary(workshop: Workshop, steps: Steps[Any], released: Release | None) -> dict[str, Any]:
    """The figures of a run, for the last line on stdout."""
    tally = workshop.switchboard.tally
    speakers = [teacher.served for teacher in workshop.switchboard.teachers.values()]
    priced = all(served.price for served in speakers)
    return {
        "rows": workshop.accepted,
        "rejected": dict(sorted(workshop.reasons.items())),
        "calls": tally.calls,
        "from_ledger": tally.from_ledger,
        "surplus": steps.surplus(),
        "in_doubt": workshop.switchboard.ledger.spent().doubtful_calls,
        "tokens": tally.tokens_in + tally.tokens_out,
        "usd": round(tally.usd, 6) if priced else None,
        "version": released.version if released else None,
        "path": str(released.path) if released else None,
    }


def last_line(figures: dict[str, Any], pushed: Pushed | None = None) -> None:
    """One JSON object on stdout."""
    where = pushed and {name: value for name, value in pushed._asdict().items() if name != "made"}
    print(json.dumps({**figures, "pushed": where}, ensure_ascii=False), flush=True)
