"""datatrove's inference runner at an endpoint: `python -P datatrove.py URL QUESTIONS AT_ONCE FOLDER`.

Prints {"rows", "seconds"}: from the questions in memory to JSON Lines on disk, with the checkpoints and the request
cache on by which it resumes. It asks GET /v1/models until that answers 200 before it starts.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter

URL, QUESTIONS, AT_ONCE, FOLDER = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])


async def answer(document, generate):
    said = await generate({"messages": [{"role": "user", "content": document.text}]})
    return said.text


def runner():
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=URL.removesuffix("/v1"),
        model_name_or_path="gpt-4o-mini",
        max_concurrent_generations=AT_ONCE,
    )
    writer = JsonlWriter(str(FOLDER / "rows"), output_filename="${rank}_${chunk_index}.jsonl", compression=None)
    checkpoints = str(FOLDER / "checkpoints")
    return InferenceRunner(answer, config, writer, checkpoints_local_dir=checkpoints, records_per_chunk=500)


def main():
    texts = [json.loads(line)["question"] for line in QUESTIONS.open()]
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    executor = LocalPipelineExecutor(pipeline=[documents, runner()], logging_dir=str(FOLDER / "logs"), tasks=1)
    started = time.perf_counter()
    executor.run()
    seconds = time.perf_counter() - started
    rows = [json.loads(line) for part in (FOLDER / "rows").glob("*.jsonl") for line in part.open()]
    print(json.dumps({"rows": sum(bool(row["metadata"]["rollout_results"][0]) for row in rows), "seconds": seconds}))


if __name__ == "__main__":
    main()
