"""distilabel at an endpoint: `python -P distilabel.py URL QUESTIONS AT_ONCE FOLDER`.

Prints {"rows", "seconds"}: from the questions in memory to the distiset. A step asks one batch at a time and waits for
its slowest call, so a batch holds as many questions as may be in flight.
"""

import json
import sys
import time
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

URL, QUESTIONS, AT_ONCE, FOLDER = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])


def main():
    questions = [{"instruction": json.loads(line)["question"]} for line in QUESTIONS.open()]
    with Pipeline(name="bench", cache_dir=FOLDER) as pipeline:
        load = LoadDataFromDicts(data=questions, batch_size=AT_ONCE)
        teacher = OpenAILLM(model="gpt-4o-mini", base_url=URL, api_key="none", max_retries=3)
        load >> TextGeneration(llm=teacher, input_batch_size=AT_ONCE)
    started = time.perf_counter()
    rows = pipeline.run()["default"]["train"]
    seconds = time.perf_counter() - started
    print(json.dumps({"rows": sum(bool(text) for text in rows["generation"]), "seconds": seconds}))


if __name__ == "__main__":
    main()
