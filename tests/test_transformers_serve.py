"""A build runs against a server that is none of ours: `transformers serve`, with a tiny model made on the spot.

The model has random weights, so it writes gibberish out of the characters it knows; what is tested is everything
around the text. The server answers one choice whatever `n` says, does not know `response_format`, and refuses (422)
any field that is not OpenAI's.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import polars
import pytest
from conftest import ROOT, outcome

QUESTIONS = ["感冒要怎么预防？", "痛风要怎么预防？", "近视要怎么预防？"]
ANSWERS = ["多喝水，多休息。", "少吃海鲜，少喝啤酒。", "少看屏幕，多去户外。"]
TEMPLATE = "{% for said in messages %}{{ said.role }}：{{ said.content }}<end>{% endfor %}"
SECONDS_TO_START = 90  # it imports torch

BUILDER = """
from typing import ClassVar
from builders.engine.produce import Job, produce
from builders.engine.steps import in_order
from pydantic import BaseModel
from schemas.instruction import Instruction
from schemas.settings import BuildSettings, run_command
class Answers(BuildSettings):
    command: ClassVar[str] = "answers"
class Triage(BaseModel):
    urgent: bool
async def build(question, ask):
    output = {answer}
    return [Instruction(key=question, department="all", role="patient", instruction=question, output=output)]
def main(settings):
    steps = in_order({questions}, build, key=str, rows=settings.rows)
    return produce(settings, Job(config="answers", family=Instruction, steps=lambda _: steps))
run_command(Answers, main)
"""


class Server(NamedTuple):
    """A running `transformers serve`, pinned to one model."""

    url: str
    model: str
    log: Path

    def posts(self):
        """How many completions it was asked for, by its own access log."""
        return self.log.read_text().count("POST /v1/chat/completions")


def tiny_model(folder):
    """A two-layer Llama of random weights: about a hundred tokens until it happens to end."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, trainers

    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.decoder = decoders.Fuse()
    special = ["<unk>", "<end>"]
    words.train_from_iterator(QUESTIONS + ANSWERS, trainers.BpeTrainer(vocab_size=100, special_tokens=special))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=1, **layers)
    model = transformers.LlamaForCausalLM(config)
    # Without do_sample the server decodes greedily, whatever temperature and seed a request names.
    model.generation_config.update(do_sample=True, min_new_tokens=4, pad_token_id=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for the file: it takes seconds to start."""
    for package in ("torch", "transformers", "fastapi", "uvicorn"):
        pytest.importorskip(package, reason=f"needs {package}: the extra `train` and transformers[serving]")
    folder = tmp_path_factory.mktemp("served")
    tiny_model(folder / "model")
    log, model = folder / "log", str(folder / "model")
    transformers = Path(sys.executable).with_name("transformers")
    command = [transformers, "serve", model, "--host", "127.0.0.1", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as child:
        try:
            yield Server(address(child, log), model, log)
        finally:
            child.kill()


def address(child, log):
    """Where it listens, once it says so: it takes a free port. Its /v1/models lists a cache, so nothing is asked there."""
    for _ in range(SECONDS_TO_START * 10):
        if found := re.search(r"running on (http://\S+)", log.read_text()):
            return f"{found[1]}/v1"
        if child.poll() is not None:
            break
        time.sleep(0.1)
    return pytest.fail(f"transformers serve did not start:\n{log.read_text()[-3000:]}")


def build(server, answer, *, questions=QUESTIONS, teacher=None):
    """A builder of one's own, run as a process against the server: by --base-url unless a teacher is named."""
    Path("answers.py").write_text(BUILDER.format(answer=answer, questions=questions))
    teacher = ["--teacher", teacher] if teacher else ["--teacher", server.model, "--base-url", server.url]
    command = [sys.executable, "answers.py", *teacher, "--out", "set"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return outcome(ended.returncode, ended.stderr, ended.stdout)


def bought():
    """(tokens in, tokens out) of every answer in the ledger, in the order they came."""
    with sqlite3.connect(".suwen/ledger.sqlite") as ledger:
        return ledger.execute("SELECT tokens_in, tokens_out FROM answers ORDER BY number").fetchall()


def test_three_questions_give_three_rows_once(server):
    before = server.posts()
    first = build(server, "await ask(question)")
    assert first.code == 0, first.talk + server.log.read_text()[-3000:]
    assert (first.said["rows"], first.said["calls"], server.posts() - before) == (3, 3, 3)
    rows = polars.read_parquet("set/answers/*.parquet")
    assert sorted(rows["instruction"]) == sorted(QUESTIONS)
    assert all(set(text) <= set("".join(QUESTIONS + ANSWERS)) for text in rows["output"])
    second = build(server, "await ask(question)")
    assert (second.code, second.said["rows"], second.said["calls"], server.posts() - before) == (0, 3, 0, 3)


def test_tokens_are_the_servers_own_count(server):
    from transformers import AutoTokenizer

    ended = build(server, "await ask(question)", questions=QUESTIONS[:1])
    asked = [{"role": "user", "content": QUESTIONS[0]}]
    prompt = AutoTokenizer.from_pretrained(server.model).apply_chat_template(asked, return_dict=True)
    [(tokens_in, tokens_out)] = bought()
    assert tokens_in == len(prompt["input_ids"])
    assert ended.said["tokens"] == tokens_in + tokens_out


def test_an_answer_in_no_form_is_sent_back_and_then_rejected(server):
    before = server.posts()
    ended = build(server, "str(await ask(question, shape=Triage))", questions=QUESTIONS[:1])
    assert ended.code == 3, ended.talk + server.log.read_text()[-3000:]
    assert ended.said["rejected"] == {"not in the asked form": 1}
    assert server.posts() - before == len(bought()) == 3  # asked, and sent back twice
    assert "Ignoring unsupported fields in the request: {'response_format'}" in server.log.read_text()


def test_a_server_that_knows_no_response_format_is_told_the_form_in_the_prompt(server):
    knows = 'sends = ["max_tokens", "temperature", "seed"]'
    Path("suwen.toml").write_text(f'[endpoints.ward]\nbase_urls = ["{server.url}"]\nanswer_limit = 512\n{knows}\n')
    build(server, "str(await ask(question, shape=Triage))", questions=QUESTIONS[:1])
    build(server, "str(await ask(question, shape=Triage))", questions=QUESTIONS[:1], teacher=f"{server.model}@ward")
    asked = [tokens_in for tokens_in, _ in bought()]
    assert asked[3] > asked[0] + len('{"properties":{"urgent":{"type":"boolean"}}}')  # a letter is a token here


def test_samples_are_requests_of_their_own(server):
    body = {"model": server.model, "messages": [{"role": "user", "content": "x"}], "n": 3, "logprobs": True}
    asked = Request(f"{server.url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    [only] = json.load(urlopen(asked, timeout=60))["choices"]
    assert "logprobs" not in only
    before = server.posts()
    ended = build(server, "'|'.join([await ask(question, sample=k) for k in range(3)])", questions=QUESTIONS[:1])
    assert (ended.code, ended.said["calls"], server.posts() - before) == (0, 3, 3), ended.talk
    row = polars.read_parquet("set/answers/*.parquet").row(0, named=True)
    assert len(set(row["provenance"]["calls"])) == len(bought()) == 3
    assert len(set(row["output"].split("|"))) == 3


def test_a_model_it_does_not_serve_is_one_line(server):
    ended = build(server._replace(model="qwen3"), "await ask(question)")
    assert ended.code == 2
    assert ended.talk.splitlines()[-1].endswith(f"Server is pinned to '{server.model}'; requested 'qwen3'.\"}}")
