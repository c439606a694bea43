"""Rankings from a JSON export of Label Studio, as lines of a sheet.

    {"id": 7, "data": {"prompt": "…", "items": [{"id": "a", "body": "…"}, …]},
     "annotations": [{"completed_by": 3, "result": [{"type": "ranker", "from_name": "rank",
                      "value": {"ranker": {"rank": ["b", "a"]}}}]}]}

A Ranker writes the ids in their order, the best first: an answer's rank is its place in that list, not the entry at its
place (the label tool of Zhongjing stored the latter). With Buckets, those in one bucket tie, and the number in a bucket's
name is the rank. A Pairwise chooses between the two texts that its `to_name` names. A TextArea called `correction` holds
the annotator's own answer.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.ranking.people import Line, read_json
from schemas.settings import InputError

NUMBER = re.compile(r"\d+")
LEFT_OVER = "_"
"""Bucket of what was put into none."""
CORRECTION = "correction"
SIDES = {"left": (1, 2), "right": (2, 1)}


def label_studio_lines(file: Path) -> Iterator[Line]:
    """Every answer that somebody has ranked; raises InputError naming file, task and field of what is wrong."""
    tasks = read_json(file)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise InputError(f"--people {file}: no export of Label Studio: expected a list of tasks with `data`")
    for number, task in enumerate(tasks, 1):
        place = f"{file.name}: task {task.get('id', number)}"
        try:
            yield from _of_task(task, place, str(task["data"].get("group") or task.get("id", number)))
        except (KeyError, TypeError, AttributeError, ValueError) as wrong:
            raise InputError(f"--people {place}: {type(wrong).__name__}: {wrong}") from None


def _of_task(task: Mapping[str, Any], place: str, group: str) -> Iterator[Line]:
    told = task["data"]
    prompt = told["prompt"] if isinstance(told["prompt"], str) else _json(told["prompt"])
    done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    for annotation in done or [{"result": []}]:
        texts, ranks = _ranked(told, annotation["result"])
        correction = _correction(annotation["result"])
        for id, text in texts.items():
            about = {"reference": str(told.get("reference") or ""), "department": str(told.get("department") or "")}
            yield Line(place, group, prompt.strip(), id, text, _who(annotation), ranks.get(id), correction, **about)


def _json(prompt: Any) -> str:
    import json

    return json.dumps(prompt, ensure_ascii=False, separators=(",", ":"))


def _who(annotation: Mapping[str, Any]) -> str:
    by = annotation.get("completed_by", "")
    return str(by["id"] if isinstance(by, Mapping) else by)


def _ranked(told: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, int]]:
    """The task's answers by id, and the rank of each that has one."""
    for result in results:
        if result["type"] == "pairwise":
            sides = [name.strip() for name in result["to_name"].split(",")]
            return {side: told[side] for side in sides}, dict(
                zip(sides, SIDES[result["value"]["selected"]], strict=True)
            )
    texts = {str(item["id"]): str(item.get("body") or item.get("text") or item["title"]) for item in told["items"]}
    ranks = next((_places(result) for result in results if result["type"] == "ranker"), {})
    if unknown := sorted(ranks.keys() - texts.keys()):
        raise ValueError(f"ranker: {unknown[0]!r} is none of its items")
    return texts, ranks


def _places(result: Mapping[str, Any]) -> dict[str, int]:
    ranked = result["value"]["ranker"]
    order = ranked if isinstance(ranked, list) else ranked.get(result["from_name"])
    if order is not None:
        return {str(id): place for place, id in enumerate(order, 1)}
    if ranked.get(LEFT_OVER):
        raise ValueError(f"ranker: {ranked[LEFT_OVER][0]!r} was put into no bucket")
    places: dict[str, int] = {}
    for bucket, ids in ranked.items():
        number = NUMBER.search(bucket)
        if ids and not number:
            raise ValueError(f"ranker: bucket {bucket!r} has no number in its name, so nobody knows which is best")
        places |= {str(id): int(number[0]) for id in ids if number}
    return places


def _correction(results: Sequence[Mapping[str, Any]]) -> str:
    said = [one["value"]["text"] for one in results if one["type"] == "textarea" and one["from_name"] == CORRECTION]
    return "\n".join(text if isinstance(text, str) else "\n".join(text) for text in said).strip()
