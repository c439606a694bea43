"""A policy and a judge by a script, and what comes of having its answers ranked."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import polars
import pytest
from aiohttp import web
from answers import completion
from clinic import Built

from builders.prompts import prompt
from builders.rank_responses import RankResponses, main
from schemas.settings import run_command

REHEARSED = ("--policy", "rehearsal", "--judge", "rehearsal")
JUDGING = prompt("judge_answers").text
FOUR = ("先做胃镜，再决定用药。", "多喝热水就好。", "考虑慢性胃炎，清淡饮食，少食多餐。", "不知道。")
"""Four answers that share no three characters in a row."""


class Ward:
    """A policy and a judge on loopback: sample i gets `says[i]`, and the judge marks by `marks`."""

    def __init__(self, serve: Callable[..., str], says: Any = FOUR, marks: Any = None) -> None:
        self.policy: list[dict[str, Any]] = []
        self.judge: list[dict[str, Any]] = []
        self._says, self._marks = says, marks or {}
        self.flags = ("--policy", "p", "--judge", "j", "--base-url", f"{serve(self._answer)}/v1")

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["model"] == "j":
            self.judge.append(body)
            return completion(json.dumps(self._marking(body), ensure_ascii=False))
        self.policy.append(body)
        said = self._says(body) if callable(self._says) else self._says[body["seed"]]
        return said if isinstance(said, web.Response) else completion(said)

    def _marking(self, body: Mapping[str, Any]) -> dict[str, Any]:
        assert body["messages"][0]["content"] == JUDGING
        told = json.loads(body["messages"][1]["content"].removeprefix("<data>").removesuffix("</data>"))
        ids = [criterion["id"] for criterion in told["criteria"]]
        return {
            "answers": [
                {"n": one["n"], "reason": f"第{one['n']}个", "scores": dict.fromkeys(ids, 5) | self._of(one, ids)}
                for one in told["answers"]
            ]
        }

    def _of(self, one: Mapping[str, Any], ids: list[str]) -> dict[str, float]:
        found = self._marks(one) if callable(self._marks) else self._marks.get(one["text"], 5)
        return dict(found) if isinstance(found, dict) else dict.fromkeys(ids, found)


def rank(*arguments: object) -> Built:
    """The command in this process, as a user would call it."""
    out, talk = io.StringIO(), io.StringIO()
    words = [str(argument) for argument in arguments]
    words = words if "--out" in words else [*words, "--out", "set"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(RankResponses, main, words)
    return Built(int(ended.value.code or 0), talk.getvalue(), out.getvalue())


def pairs(folder: str = "set") -> list[dict[str, Any]]:
    """The rows of a release, by key."""
    return sorted(polars.read_parquet(f"{folder}/preferences/*.parquet").to_dicts(), key=lambda row: row["key"])


def texts(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["chosen"][0]["content"], row["rejected"][0]["content"]
