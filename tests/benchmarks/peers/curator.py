"""bespokelabs-curator at an endpoint: `python -P curator.py URL QUESTIONS AT_ONCE FOLDER`.

Prints {"rows", "seconds"}: from the questions in memory to the data set it gives back.
"""

import json
import sys
import time
from pathlib import Path

import tiktoken
from bespokelabs import curator
from datasets import Dataset

URL, QUESTIONS, AT_ONCE, FOLDER = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])

CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
"""How the vocabulary that Curator uses splits a text."""


def byte_vocabulary(*_: object, **__: object) -> tiktoken.Encoding:
    """Stands in for the vocabulary by which Curator counts every prompt's tokens, and which tiktoken would download.

    The encoder and its splitting are the real ones; with a vocabulary of bytes it has nothing to merge, which favours
    Curator a little. It counts more tokens, which matters to no limit that is set here.
    """
    letters = {bytes([number]): number for number in range(256)}
    return tiktoken.Encoding("bytes", pat_str=CL100K, mergeable_ranks=letters, special_tokens={})


class Answer(curator.LLM):
    def prompt(self, row):
        return row["question"]

    def parse(self, row, response):
        return {"question": row["question"], "answer": response}


def main():
    tiktoken.get_encoding = byte_vocabulary
    unlimited = {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**11}
    settings = {"base_url": URL, "max_concurrent_requests": AT_ONCE, "max_retries": 3, **unlimited}
    questions = Dataset.from_list([json.loads(line) for line in QUESTIONS.open()])
    answer = Answer(model_name="gpt-4o-mini", backend="openai", backend_params=settings)
    started = time.perf_counter()
    rows = answer(questions, working_dir=str(FOLDER)).dataset
    seconds = time.perf_counter() - started
    print(json.dumps({"rows": sum(bool(row["answer"]) for row in rows), "seconds": seconds}))


if __name__ == "__main__":
    main()
