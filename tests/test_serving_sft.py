"""A model that has learnt a dozen consultations by heart is served by `transformers serve`, and says what it learnt.

What is held here is what a server takes from the folder alone: the chat template, the tokens that end an answer, whole
weights where adapters were trained.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from conftest import ROOT, outcome

for package in ("torch", "trl", "fastapi", "uvicorn"):
    pytest.importorskip(package, reason=f"needs {package}: the extra `train` and transformers[serving]")

STOMACH, GOUT, WHERE = "胃疼三天了怎么办？", "痛风怎么预防？", "挂什么科？"
SENT_ON = (
    (STOMACH, "先做胃镜，再按结果用药。", WHERE, "请挂消化内科。"),
    (GOUT, "少喝啤酒，多喝水。", WHERE, "请挂风湿免疫科。"),
    ("孩子发烧三十九度怎么办？", "先物理降温，再查血常规。", WHERE, "请挂儿科。"),
    ("牙龈出血怎么办？", "先洗牙，再查凝血。", WHERE, "请挂口腔科。"),
)
"""Patient and doctor in turn. All ask the same at last: only what was said before tells their answers apart."""
LEARNT = (
    *SENT_ON,
    ("血压高要一直吃药吗？", "要规律服药，每天量血压。"),
    ("最近总是失眠怎么办？", "睡前少看手机，两周不好请就诊。"),
    ("膝盖上下楼疼是什么病？", "可能是骨关节炎，请先拍片。"),
    ("咳嗽有黄痰怎么办？", "请查血象和胸片。"),
)
AT_ONCE = tuple((asked, where, "怎么办？", told) for asked, told, _, where in SENT_ON)
"""The same patients, sent on before they are told anything."""
PAST_ANY_ANSWER = 400
SECONDS_TO_START = 90  # it imports torch


def trained(out, said, *flags):
    """A model fine-tuned on `said` until it knows it by heart, by the command line; it lies in ./OUT."""
    rows = Path(f"{Path(out).name}.jsonl")
    rows.write_text("".join(json.dumps({"messages": turns(one)}, ensure_ascii=False) + "\n" for one in said))
    by_heart = ["--learning-rate", "3e-3", "--batch", "10", "--micro-batch", "10", "--max-length", "512"]
    aside = ["--eval-rows", "0", "--track", "none", "--save-every", "1000"]
    command = [sys.executable, "-m", "trainers.sft", "--data", str(rows), "--out", out, *by_heart, *aside, *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = outcome(ended.returncode, ended.stderr, ended.stdout)
    assert told.code == 0, told.talk
    assert told.said["loss"] < 0.05, told.talk
    return out


def turns(said):
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]


@contextlib.contextmanager
def served(out):
    """`transformers serve OUT`; gives a function that asks it as curl would, and returns the one choice and the usage."""
    log = Path("serve.log")
    transformers = Path(sys.executable).with_name("transformers")
    command = [transformers, "serve", out, "--host", "127.0.0.1", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as server:
        try:
            yield asking(f"{address(server, log)}/v1/chat/completions", out)
        finally:
            server.kill()


def address(server, log):
    for _ in range(SECONDS_TO_START * 10):
        if found := re.search(r"running on (http://\S+)", log.read_text()):
            return found[1]
        if server.poll() is not None:
            break
        time.sleep(0.1)
    return pytest.fail(f"transformers serve did not start:\n{log.read_text()[-3000:]}")


def asking(url, model):
    def ask(*said, most=PAST_ANY_ANSWER):
        body = {"model": model, "messages": turns(said), "max_tokens": most}
        request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = json.load(urlopen(request, timeout=60))
        [choice] = answer["choices"]
        return choice["message"]["content"], choice["finish_reason"], answer["usage"]["prompt_tokens"]

    return ask


def tokens(out, text):
    """How many tokens of the model a text is."""
    from tokenizers import Tokenizer

    return len(Tokenizer.from_file(f"{out}/tokenizer.json").encode(text, add_special_tokens=False))


def test_a_served_model_says_what_it_learnt_and_stops():
    out = trained("build/sft", LEARNT, "--model", "new:tiny", "--template", "chatml", "--max-steps", "100")
    first = f"<|im_start|>user\n{STOMACH}<|im_end|>\n<|im_start|>assistant\n"
    then = f"先做胃镜，再按结果用药。<|im_end|>\n<|im_start|>user\n{WHERE}<|im_end|>\n<|im_start|>assistant\n"
    with served(out) as ask:
        assert ask(STOMACH) == ("先做胃镜，再按结果用药。", "stop", tokens(out, first))
        assert ask(*SENT_ON[0][:3]) == ("请挂消化内科。", "stop", tokens(out, first + then))
        assert ask(*SENT_ON[1][:3])[:2] == ("请挂风湿免疫科。", "stop")
        assert ask(STOMACH, most=2)[1] == "length"


@pytest.mark.slow
def test_a_model_of_huatuogpts_template_is_served_with_it():
    out = trained("build/huatuo", LEARNT, "--model", "new:tiny", "--template", "huatuo", "--max-steps", "100")
    opening = "以下是患者与医疗助手华佗GPT的对话。患者问诊时，助手给出准确、详细、温暖的建议；患者提出其他要求时，助手给出有用、详细、礼貌的回答。 "
    first = f"{opening}<病人>：{STOMACH} <HuatuoGPT>："
    then = f"先做胃镜，再按结果用药。<|im_end|> <病人>：{WHERE} <HuatuoGPT>："
    with served(out) as ask:
        assert ask(STOMACH) == ("先做胃镜，再按结果用药。", "stop", tokens(out, first))
        assert ask(*SENT_ON[0][:3]) == ("请挂消化内科。", "stop", tokens(out, first + then))
        assert ask(*SENT_ON[1][:3])[:2] == ("请挂风湿免疫科。", "stop")


@pytest.mark.slow
def test_adapters_folded_into_their_base_are_served_like_any_model():
    base = trained("build/sft", LEARNT, "--model", "new:tiny", "--template", "chatml", "--max-steps", "100")
    out = trained("build/lora", AT_ONCE, "--model", base, "--lora", "16", "--merge", "--max-steps", "100")
    assert not list(Path(out).glob("adapter*"))
    with served(out) as ask:
        assert ask(STOMACH)[:2] == ("请挂消化内科。", "stop")
        assert ask(GOUT)[:2] == ("请挂风湿免疫科。", "stop")
        assert ask(*AT_ONCE[1][:3])[:2] == ("少喝啤酒，多喝水。", "stop")
