"""The main job through its command line: exact, equal, cheap to repeat, loadable everywhere."""

import json
from pathlib import Path

import datasets
import polars
import pytest
from folders import files_of
from huggingface_hub import DatasetCard

SMALL = ("--teacher", "rehearsal", "--departments", "心血管内科,儿科", "--roles", "患者,护士")


@pytest.mark.parametrize("rows", [1, 7, 200])
def test_exactly_the_rows_asked_for_are_accepted(distill, rows):
    made = distill("--teacher", "rehearsal", "--rows", rows, "--out", "set")
    assert (made.code, made.said["rows"], made.said["version"]) == (0, rows, "1.0.0")
    assert polars.read_parquet("set/distilled_instructions/*.parquet").height == rows


@pytest.mark.slow
def test_a_thousand_rows_pass_all_filters(distill):
    made = distill("--teacher", "rehearsal", "--rows", 1000, "--out", "set", "--at-once", 200)
    assert (made.code, made.said["rows"]) == (0, 1000)


def test_the_same_bytes_come_out_at_any_concurrency(distill):
    for at_once in (1, 50, 400):
        made = distill(
            *SMALL, "--rows", 120, "--at-once", at_once, "--out", f"set{at_once}", "--ledger", f"{at_once}.db"
        )
        assert made.said["calls"] > 120
    assert files_of(Path("set1")) == files_of(Path("set50")) == files_of(Path("set400"))


def test_latency_decides_nothing(distill, rehearsal):
    at = rehearsal(latency=0.02, spread=1.5, throttled=0.1, server_error=0.1, slow_body=0.01).url
    distill(*SMALL, "--rows", 60, "--out", "calm", "--ledger", "calm.db")
    distill(
        *SMALL,
        "--rows",
        60,
        "--out",
        "stormy",
        "--ledger",
        "stormy.db",
        "--teacher",
        "rehearsal@rehearsal",
        "--base-url",
        at,
    )
    calm, stormy = (datasets.load_dataset(name, "distilled_instructions")["train"] for name in ("calm", "stormy"))
    assert calm["id"] == stormy["id"]


def test_a_second_run_asks_nothing_and_gives_the_same_bytes(distill):
    distill(*SMALL, "--rows", 40, "--out", "one")
    again = distill(*SMALL, "--rows", 40, "--out", "two", "--at-once", 7)
    assert (again.said["calls"], again.said["surplus"]) == (0, 0)
    assert again.said["from_ledger"] > 40
    assert files_of(Path("one")) == files_of(Path("two"))


def test_loosening_a_filter_needs_no_call(distill):
    strict = distill(*SMALL, "--rows", 60, "--max-rouge-l", 0.45, "--out", "strict")
    assert strict.said["rejected"]["instruction too similar"] > 0
    loose = distill(*SMALL, "--rows", 60, "--max-rouge-l", 0.8, "--out", "loose")
    assert (loose.code, loose.said["rows"], loose.said["calls"]) == (0, 60, 0)


def test_tightening_a_filter_buys_only_the_replacements(distill):
    distill(*SMALL, "--rows", 60, "--max-rouge-l", 0.8, "--out", "loose")
    bought = calls_in_ledger()
    strict = distill(*SMALL, "--rows", 60, "--max-rouge-l", 0.45, "--out", "strict")
    new_rows = ids("strict") - ids("loose")
    assert 0 < len(new_rows) < 30
    triplet_calls = strict.said["calls"] - len(new_rows)
    assert 0 <= triplet_calls <= 8
    assert calls_in_ledger() == bought + strict.said["calls"]


def test_more_rows_keep_the_calls_already_paid_for(distill):
    first = distill(*SMALL, "--rows", 20, "--out", "small")
    more = distill(*SMALL, "--rows", 40, "--out", "large")
    assert more.said["from_ledger"] >= first.said["calls"] - 2


def test_the_grid_is_filled_evenly_and_the_card_says_so(distill):
    distill(*SMALL, "--rows", 42, "--out", "set")
    rows = polars.read_parquet("set/distilled_instructions/*.parquet")
    per_cell = rows.group_by("department", "role").len()["len"].sort().to_list()
    assert per_cell == [10, 10, 11, 11]  # 42 = 4 x 10 + 2
    coverage = json.loads(Path("set/reports/coverage.json").read_text())
    assert sorted(cell["reached"] for cell in coverage.values()) == per_cell
    assert "42 rows reached of 42 asked for, over 4 cells" in Path("set/README.md").read_text()


def test_every_row_says_where_it_comes_from(distill):
    distill(*SMALL, "--rows", 20, "--out", "set", "--license", "cc-by-4.0")
    for row in polars.read_parquet("set/distilled_instructions/*.parquet").to_dicts():
        from schemas.instruction import Instruction

        known = Instruction.from_record(row).provenance
        assert (known.license, known.builder, known.teachers, known.rehearsal) == (
            "cc-by-4.0", "distill_instructions", ("rehearsal",), True,
        )  # fmt: skip
        assert [use.name for use in known.prompts] == ["distill_triplets", "distill_answer"]
        assert len(known.calls) == 2
        assert {figure.name for figure in known.filters} >= {"rouge_l_below", "answer_chars"}


def test_the_folder_loads_in_datasets_polars_and_as_trl_reads_it(distill):
    distill(*SMALL, "--rows", 60, "--out", "set")
    loaded = datasets.load_dataset("set", "distilled_instructions")
    assert sum(loaded.num_rows.values()) == 60
    assert polars.read_parquet("set/distilled_instructions/*.parquet").height == 60
    row = loaded["train"][0]
    assert [said["role"] for said in row["messages"]] == ["user", "assistant"]
    assert row["messages"][0]["content"].startswith(row["instruction"])
    assert row["messages"][1]["content"] == row["output"]


def test_the_card_is_valid_and_its_figures_are_the_files(distill):
    distill(*SMALL, "--rows", 60, "--out", "set", "--license", "cc-by-4.0")
    card = DatasetCard.load("set/README.md", ignore_metadata_errors=False)
    assert card.data.license == "cc-by-4.0"
    assert card.data.configs[0]["config_name"] == "distilled_instructions"
    rows = polars.read_parquet("set/distilled_instructions/*.parquet")
    median = int(rows["output"].str.len_chars().quantile(0.5, "nearest"))
    lengths = [line for line in card.text.splitlines() if line.startswith("| output |")][-1]
    assert f"| {median} |" in lengths
    assert "Rehearsal rows." in card.text


def test_the_manifest_holds_the_hash_of_every_file(distill):
    import hashlib

    distill(*SMALL, "--rows", 30, "--out", "set")
    stated = json.loads(Path("set/manifest.json").read_text())["files"]
    found = {name: data for name, data in files_of(Path("set")).items() if name != "manifest.json"}
    assert {name: entry["sha256"] for name, entry in stated.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }


def test_what_was_rejected_is_kept_with_its_reason(distill):
    made = distill(*SMALL, "--rows", 60, "--max-rouge-l", 0.5, "--out", "set")
    kept = polars.read_parquet("set/rejected/*.parquet")
    assert kept.columns == ["key", "builder", "config", "reason", "detail", "row"]
    assert dict(kept.group_by("reason").len().iter_rows()) == made.said["rejected"]
    similar = kept.filter(polars.col("reason") == "instruction too similar").row(0, named=True)
    assert similar["detail"].startswith("ROUGE-L 0.")
    assert json.loads(similar["row"])["triplet"]["instruction"]


def test_a_release_continues_from_the_previous_one(distill):
    distill(*SMALL, "--rows", 30, "--out", "one")
    same = distill(*SMALL, "--rows", 30, "--out", "same", "--previous", "one")
    more = distill(*SMALL, "--rows", 33, "--out", "more", "--previous", "one")
    fewer = distill(*SMALL, "--rows", 25, "--out", "fewer", "--previous", "one")
    assert same.said["version"] == "1.0.0"
    assert fewer.said["version"] == "2.0.0"
    before, after = (splits(name) for name in ("one", "more"))
    kept = before.keys() & after.keys()
    assert {key: before[key] for key in kept} == {key: after[key] for key in kept}
    assert more.said["version"] == ("1.1.0" if before.keys() <= after.keys() else "2.0.0")


def test_building_into_a_release_continues_it_and_leaves_other_files_alone(distill):
    distill(*SMALL, "--rows", 20, "--out", "set", "--max-rouge-l", 0.5)
    Path("set/.git").mkdir()
    Path("set/.git/HEAD").write_text("ref: refs/heads/main")
    Path("set/NOTES.md").write_text("mine")
    same = distill(*SMALL, "--rows", 20, "--out", "set", "--max-rouge-l", 0.5)
    assert same.said["version"] == "1.0.0"
    other = distill("--teacher", "rehearsal", "--departments", "骨科", "--rows", 10, "--out", "set")
    assert other.said["version"] == "2.0.0"
    assert "10 added, 20 removed" in other.talk
    assert Path("set/NOTES.md").read_text() == "mine"
    assert Path("set/.git/HEAD").exists()
    assert polars.read_parquet("set/distilled_instructions/*.parquet").height == 10
    stated = set(json.loads(Path("set/manifest.json").read_text())["files"])
    assert {name for name in files_of(Path("set")) if name not in ("NOTES.md", ".git/HEAD", "manifest.json")} == stated


def test_a_grid_with_fewer_rows_than_cells_treats_departments_alike(distill):
    distill("--teacher", "rehearsal", "--rows", 40, "--out", "set")
    rows = polars.read_parquet("set/distilled_instructions/*.parquet")
    assert set(rows.group_by("department").len()["len"]) == {2}
    assert rows.group_by("role").len()["len"].max() <= 3


def test_no_pregnant_woman_is_asked_for_where_there_is_none(distill):
    nobody = distill("--teacher", "rehearsal", "--departments", "男科", "--roles", "孕妇", "--rows", 2, "--out", "set")
    assert nobody.code == 2
    assert "never seen in these departments" in nobody.talk


def test_a_filter_that_keeps_almost_nothing_is_said_so_early(distill):
    made = distill(*SMALL, "--rows", 400, "--min-answer", 3000, "--out", "set")
    assert made.code == 3
    assert "warning: only 0 of 200 judged were kept; " in made.talk
    assert "were turned down for: answer: too short" in made.talk


def test_a_pilot_reckons_with_the_price_of_today(distill):
    free = distill(*SMALL, "--rows", 80, "--pilot", 20, "--out", "set")
    assert "$0.0000 expected" in free.talk
    priced = distill(*SMALL, "--rows", 80, "--pilot", 20, "--price", "1,2", "--out", "set")
    assert priced.said["calls"] == 0
    assert "80 rows: $0.0000" not in priced.talk


def test_a_pilot_buys_only_its_rows_and_the_whole_run_buys_none_of_them_again(distill, rehearsal):
    server = rehearsal()
    at = ("--teacher", "rehearsal@rehearsal", "--base-url", server.url, "--price", "1,2")
    pilot = distill(*SMALL, *at, "--rows", 80, "--pilot", 20, "--out", "set")
    assert (pilot.code, pilot.said["rows"], pilot.said["path"]) == (0, 20, None)
    assert "95 % interval" in pilot.talk
    whole = distill(*SMALL, *at, "--rows", 80, "--out", "set")
    assert whole.said["rows"] == 80
    assert max(server.asked.values()) == 1


def test_a_dry_run_asks_nothing_and_writes_nothing(distill):
    plan = distill("--teacher", "gpt-5-mini@openai", "--rows", 100, "--dry-run", "--out", "set")
    assert plan.code == 0
    assert "100 rows from gpt-5-mini@openai" in plan.talk
    assert "expected" in plan.talk
    assert plan.said["dry_run"] is True
    assert 0 < plan.said["usd"] < plan.said["worst_usd"]
    assert not Path("set").exists()
    assert not Path(".suwen").exists()


def ids(folder):
    return set(polars.read_parquet(f"{folder}/distilled_instructions/*.parquet")["id"])


def splits(folder):
    return {
        row["key"]: split
        for split, rows in datasets.load_dataset(folder, "distilled_instructions").items()
        for row in rows
    }


def calls_in_ledger():
    import sqlite3

    return sqlite3.connect(".suwen/ledger.sqlite").execute("SELECT COUNT(*) FROM answers").fetchone()[0]
