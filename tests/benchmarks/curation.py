"""What the rules of curation do to real consultations, set by set, and how well a doctor's turn is labelled.

    python tests/benchmarks/curation.py --data ../shared/data

Reads the dialogue sets as their publishers write them, in memory; prints Markdown tables. `ask` of the inquiry labels are
doctor's turns that ask, alone or with advice; `before` is after merging bubbles alone.
"""

import argparse
import csv
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from builders.curation.bubbles import Said, merge_bubbles
from builders.curation.curate import Curated, curate
from builders.curation.farewells import says_goodbye
from builders.curation.inquiry import act_of
from builders.engine.errors import Reject
from builders.sources.consultations import Utterance

LABELS = Path(__file__).parent.parent / "data" / "inquiry_real.jsonl"
DOCTORS = ("医生", "doctor", "counselor")
SETS = ("chineseblue_cmdd_dev", "ai_hospital", "disc_medllm_gpt35", "mts_dialog_en", "smile")


class Talk(NamedTuple):
    """A consultation under the id its set gives it."""

    id: str
    utterances: tuple[Utterance, ...]


def consultations(data: Path, name: str) -> Iterator[Talk]:
    """Every consultation of one of the sets."""
    read = {
        "chineseblue_cmdd_dev": _cmdd,
        "ai_hospital": _ai_hospital,
        "disc_medllm_gpt35": _disc,
        "mts_dialog_en": _mts,
        "smile": _smile,
    }
    return read[name](data / name)


def turns_of(talk: Talk) -> list[Said]:
    """The merged turns of the consultation as it stands, empty bubbles left out: what the labels number from 0."""
    said = [Said(one.speaker, one.text) for one in talk.utterances if one.text.strip() and one.speaker != "system"]
    return merge_bubbles(said)


def _talk(id: str, said: Iterable[tuple[str, str]]) -> Talk:
    speakers = {
        "Patient": "patient",
        "patient": "patient",
        "患者": "patient",
        "client": "patient",
        "Reporter": "system",
    }
    return Talk(id, tuple(Utterance(speaker=speakers.get(who, "doctor"), text=text) for who, text in said))


def _cmdd(folder: Path) -> Iterator[Talk]:
    for path in sorted((folder / "dev").glob("*.json"), key=lambda path: int(path.stem.split("_")[1])):
        bubbles = json.loads(path.read_text(encoding="utf-8-sig"))["dialogue-content"]
        yield _talk(path.stem, [(bubble["speaker"], bubble["sentence"]) for bubble in bubbles])


def _ai_hospital(folder: Path) -> Iterator[Talk]:
    for row in _json_lines(folder / "dialog_history_gpt3.jsonl"):
        yield _talk(str(row["patient_id"]), [(turn["role"], turn["content"]) for turn in row["dialog_history"]])


def _disc(folder: Path) -> Iterator[Talk]:
    for part in ("cmd", "cmid", "cmb-clin"):
        for row in json.loads((folder / f"gpt-3.5-turbo_{part}.json").read_text(encoding="utf-8")):
            yield _talk(row["id"], [(turn["role"], turn["content"]) for turn in row["conversation"]])


def _smile(folder: Path) -> Iterator[Talk]:
    for row in _json_lines(folder / "smile_2000.jsonl"):
        yield _talk(row["file"], [(turn["role"], turn["content"]) for turn in row["dialogue"]])


def _mts(folder: Path) -> Iterator[Talk]:
    with (folder / "MTS-Dialog-TrainingSet.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            said: list[tuple[str, str]] = []
            for line in row["dialogue"].splitlines():
                who, colon, text = line.partition(":")
                if colon and (who.strip() in ("Doctor", "Patient") or who.strip().startswith("Guest")):
                    doctor = who.strip() == "Doctor" or "clinician" in who
                    said.append(("doctor" if doctor else "patient", text.strip()))
                elif said and line.strip():
                    said[-1] = (said[-1][0], f"{said[-1][1]} {line.strip()}")
            yield _talk(row["ID"], said)


def _json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def inquiry_rate(turns: Iterable[Said]) -> float:
    """Share of the doctor's turns that ask."""
    acts = [act_of(turn.text) for turn in turns if turn.speaker == "doctor"]
    return sum(act in ("ask", "both") for act in acts) / max(len(acts), 1)


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def figures(talks: list[Talk]) -> dict[str, str]:
    """One column of the table."""
    before = [turns for talk in talks if (turns := turns_of(talk))]
    kept: list[Curated] = []
    rejects: Counter[str] = Counter()
    started = time.perf_counter()
    for talk in talks:
        try:
            kept.append(curate(talk.utterances))
        except Reject as verdict:
            rejects[verdict.reason] += 1
    seconds = time.perf_counter() - started
    offtopic = sum((one.offtopic for one in kept), Counter())
    bubbles = [len(talk.utterances) for talk in talks]
    raw, after = [turn for turns in before for turn in turns], [turn for one in kept for turn in one.turns]
    goodbye_after = sum(says_goodbye(one.turns[-1].text) for one in kept)
    return {
        "consultations": f"{len(talks)}",
        "the doctor speaks first": percent(sum(turns[0].speaker == "doctor" for turns in before), len(before)),
        "ends with the patient": percent(sum(turns[-1].speaker == "patient" for turns in before), len(before)),
        "utterances, mean / median": _middle(bubbles),
        "merged turns, mean / median": _middle([len(turns) for turns in before]),
        "curated turns, mean / median": _middle([len(one.turns) for one in kept]),
        "last turn is farewell, before": percent(sum(says_goodbye(turns[-1].text) for turns in before), len(before)),
        "last turn is farewell, after": percent(goodbye_after, len(kept)),
        "farewell turns cut": f"{sum(one.farewells for one in kept)}",
        "unanswered patient turns cut": f"{sum(one.unanswered for one in kept)}",
        "complaint gathered over several turns": f"{sum(one.opening > 1 for one in kept)}",
        "bubbles dropped": ", ".join(f"{kind} {count}" for kind, count in offtopic.most_common()) or "–",
        "inquiry rate, before": f"{inquiry_rate(raw):.3f}",
        "inquiry rate, after": f"{inquiry_rate(after):.3f}",
        "acts after": _acts(after),
        "rejects": ", ".join(f"{reason} {count}" for reason, count in rejects.most_common()) or "–",
        "kept": percent(len(kept), len(talks)),
        "milliseconds each": f"{1000 * seconds / len(talks):.2f}",
    }


def _middle(lengths: list[int]) -> str:
    return f"{statistics.mean(lengths):.1f} / {statistics.median(lengths):.0f}" if lengths else "–"


def _acts(turns: list[Said]) -> str:
    acts = Counter(act_of(turn.text) for turn in turns if turn.speaker == "doctor")
    return ", ".join(f"{act} {percent(count, acts.total())}" for act, count in acts.most_common())


def labelled(data: Path) -> Iterator[tuple[str, str, str, str]]:
    """(part, set, label by hand, label by rule) of every turn that people have labelled."""
    labels = _json_lines(LABELS)
    for name in SETS:
        talks = {talk.id: talk for talk in consultations(data, name)}
        for label in (label for label in labels if label["set"] == name):
            text = turns_of(talks[label["dialogue"]])[label["turn"]].text
            yield label["part"], name, label["act"], act_of(text)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="folder of the dialogue sets")
    data = options.parse_args().data
    columns = {name: figures(list(consultations(data, name))) for name in SETS if (data / name).is_dir()}
    print("| | " + " | ".join(columns) + " |\n|---" + "|---" * len(columns) + "|")
    for row in next(iter(columns.values())):
        print(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
    print("\n| labelled by hand | right | ask | advise | both | close |\n|---|---|---|---|---|---|")
    counts = Counter(labelled(data))
    for part in ("tuning", "held_back"):
        cells = [
            _right(counts, part, acts)
            for acts in (("ask", "advise", "both", "close"), ("ask",), ("advise",), ("both",), ("close",))
        ]
        print(f"| {part} | " + " | ".join(cells) + " |")


def _right(counts: Counter[tuple[str, str, str, str]], part: str, acts: tuple[str, ...]) -> str:
    those = {key: count for key, count in counts.items() if key[0] == part and key[2] in acts}
    right = sum(count for key, count in those.items() if key[2] == key[3])
    return f"{right} of {sum(those.values())} ({percent(right, sum(those.values()))})"


if __name__ == "__main__":
    main()
