"""NVIDIA's Data Designer at an endpoint: `python -P data_designer.py URL QUESTIONS AT_ONCE FOLDER`.

Prints {"rows", "seconds"}: from the questions in memory to its Parquet files, its profile of them included.
"""

import json
import sys
import time
from pathlib import Path

import data_designer.config as dd
import pandas
from data_designer.config.seed_source_dataframe import DataFrameSeedSource
from data_designer.interface import DataDesigner

URL, QUESTIONS, AT_ONCE, FOLDER = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])


def design(questions):
    model = dd.ModelConfig(
        alias="teacher",
        model="gpt-4o-mini",
        provider="bench",
        inference_parameters=dd.ChatCompletionInferenceParams(max_parallel_requests=AT_ONCE),
        skip_health_check=True,
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(DataFrameSeedSource(df=questions))
    builder.add_column(dd.LLMTextColumnConfig(name="answer", prompt="{{ question }}", model_alias="teacher"))
    return builder


def main():
    questions = pandas.DataFrame([json.loads(line) for line in QUESTIONS.open()])
    provider = dd.ModelProvider(name="bench", endpoint=URL, api_key="none")
    designer = DataDesigner(artifact_path=FOLDER, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    started = time.perf_counter()
    rows = designer.create(design(questions), num_records=len(questions)).load_dataset()
    seconds = time.perf_counter() - started
    print(json.dumps({"rows": int((rows["answer"].str.len() > 0).sum()), "seconds": seconds}))


if __name__ == "__main__":
    main()
