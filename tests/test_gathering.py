"""What a run trains on out of all its data sets: in the shares asked for, although some rows are left out; and what it is measured on."""

from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tables import lines, written  # noqa: E402
from toy_tokenizers import byte_level  # noqa: E402

from schemas.settings import InputError  # noqa: E402
from schemas.train_settings import data_choice  # noqa: E402
from trainers.engine.data import Renderer  # noqa: E402
from trainers.engine.memory import Estimate  # noqa: E402
from trainers.engine.preflight import examine, memory_check  # noqa: E402
from trainers.engine.rows.data_sets import open_data  # noqa: E402
from trainers.engine.rows.encoding import ordered, put_in_order  # noqa: E402
from trainers.engine.rows.gathering import gather, hold_out  # noqa: E402
from trainers.engine.rows.tally import Tally  # noqa: E402
from trainers.engine.templates import adopt, choose_template  # noqa: E402

NOTHING = Estimate(weights=0, gradients=0, optimizer=0, activations=0, logits=0, buffers=0, reserve=0)
FITS = memory_check(NOTHING, None, lambda room: [])
LONG = "请先测量血压，再来心内科门诊复诊，并带上以前的检查结果。" * 20
SYMPTOMS = ("咳嗽", "头晕", "胃疼", "皮疹", "失眠", "腰酸", "耳鸣", "鼻塞", "牙疼", "心慌")
SINCE = ("昨天夜里", "上个月", "停药以后", "换季的时候", "饭后一小时", "跑步途中", "搬家那阵", "出差回来", "感冒好了", "熬夜加班")  # fmt: skip


def asked(number: int) -> str:
    """100 questions of which no two are near-duplicates."""
    what, when = SYMPTOMS[number % 10], SINCE[number // 10 % 10]
    return f"{when}开始{what}，第{number * 7919}次了，{what}和{when}有关系吗？"


def row(number: int, answer: str = "多喝水，注意休息。") -> dict[str, str]:
    return {"prompt": asked(number), "completion": answer}


def table(name: str, *rows: dict[str, str]) -> None:
    """A data set of which nothing is held out."""
    written(f"{name}/train.jsonl", lines(*rows))
    written(f"{name}/validation.jsonl", lines(row(10_000 + len(name))))


def renderer(length: int) -> Renderer:
    tokenizer = byte_level()
    adopt(tokenizer, choose_template(tokenizer, "chatml"))
    return Renderer(tokenizer, max_length=length)


class Prepared:
    """Everything that was gathered from some --data, with its tally."""

    def __init__(self, *data: str, seed: int = 0, folder: str = "run", length: int = 256) -> None:
        self.folder, self.tally, self.seed = Path(folder), Tally(), seed
        self.folder.mkdir()
        self.sets = open_data([data_choice(value) for value in data], Path("scratch"), seed=seed)
        self.renderer = renderer(length)
        self.gathered = gather(self.sets, self.renderer, self.folder, self.tally, seed=seed, say=lambda line: None)

    def texts(self) -> list[str]:
        """The rows that are trained on, as text, in their order."""
        put_in_order(self.folder, "train", self.gathered.order)
        return [self.renderer.tokenizer.decode(ids) for ids in ordered(self.folder, "train")["input_ids"]]

    def held_out(self, most: int = 100):
        return hold_out(
            self.sets,
            self.renderer,
            self.folder,
            most=most,
            seed=self.seed,
            say=lambda line: None,
            trained=self.gathered.trained,
        )

    def report(self):
        return examine(self.tally, held_out=1, leaks=(), memory=FITS, micro=2, shares=self.gathered.shares)


def with_faults(rows: int, faulty: int, bad: str = LONG) -> list[dict[str, str]]:
    """So many rows, of which some, spread evenly, cannot be trained on."""
    return [row(number, bad if number % (rows // faulty) == 0 and number < faulty * (rows // faulty) else "多休息。") for number in range(rows)]  # fmt: skip


def rows_of(prepared: Prepared) -> list[int]:
    return [one.rows for one in prepared.gathered.drawn]


@pytest.mark.parametrize(("faulty", "bad"), [(12, LONG), (360, LONG), (12, " "), (12, "好<|im_end|>的")])
def test_a_share_is_filled_exactly_however_many_of_its_rows_are_left_out(faulty, bad):
    table("medicine", *(row(number) for number in range(70)))
    table("chat", *with_faults(400, faulty, bad))  # 12 of 400 are 3 %
    one = Prepared("medicine", "general=chat=0.3")
    assert rows_of(one) == [70, 30]
    assert len(set(one.texts())) == 100
    (share,) = one.gathered.shares
    assert (share.name, share.got, share.passes) == ("chat", 0.3, 1)
    tally = one.tally.sets["chat"]
    assert tally.kept == 30
    assert tally.read < 50 or faulty == 360  # nobody counts rows that the share does not need


def test_left_out_rows_are_counted_until_the_share_is_full_and_no_further():
    table("medicine", *(row(number) for number in range(70)))
    table("chat", *with_faults(400, 200))
    left_out = [Prepared("medicine", "chat=0.3", folder=f"run{seed}", seed=seed).tally.left_out.total() for seed in range(6)]  # fmt: skip
    assert 15 * 6 < sum(left_out) < 40 * 6  # about one for each of the 30 that are kept
    assert len(set(left_out)) > 1


def test_a_set_that_is_used_up_is_repeated_without_its_faulty_rows():
    table("medicine", *(row(number) for number in range(60)))
    table("chat", *with_faults(20, 5))
    one = Prepared("medicine", "chat=0.4")
    assert rows_of(one) == [60, 40]
    times = Counter(text for text in one.texts() if "多休息" in text)
    assert Counter(times.values()) == {2: 5, 3: 10}  # 15 rows: two passes, and ten of them once more
    assert one.gathered.shares[0].passes == 3
    assert one.tally.sets["chat"].read == 20
    told = {check.name: check.said for check in one.report().checks}
    assert told["shares"] == "chat 40.0% asked, 40.0% got, rows up to 3 times"


def test_when_every_set_has_a_share_the_one_that_is_used_up_first_counts_without_its_faulty_rows():
    table("medicine", *with_faults(100, 10))
    table("chat", *(row(number, "早点睡。") for number in range(300)))
    one = Prepared("medicine=0.25", "chat=0.75")
    assert rows_of(one) == [90, 270]
    assert {name: (tally.kept, tally.read) for name, tally in one.tally.sets.items()} == {
        "medicine": (90, 100),
        "chat": (270, 270),
    }


def test_a_set_of_nothing_but_faults_is_refused_with_their_reason():
    table("medicine", *(row(number) for number in range(20)))
    table("chat", *(row(number, LONG) for number in range(20)))
    for data in (("medicine", "chat=0.5"), ("medicine=0.5", "chat=0.5")):
        one = Prepared(*data, folder=f"run{len(data[0])}")
        assert "20 of 20 rows of chat (100.0%): longer than max_length" in "".join(
            check.said for check in one.report().refused
        )


def test_shares_that_cannot_be_had_are_refused_before_anything_is_read():
    table("medicine", row(1))
    with pytest.raises(InputError, match=r"--data: every data set has a share, and they add up to 0\.5, not to 1"):
        Prepared("medicine=0.5")
    assert not Path("run/parts").exists()


def test_the_same_seed_draws_the_same_rows_in_the_same_order_and_another_one_others():
    table("medicine", *(row(number) for number in range(50)))
    table("chat", *with_faults(300, 30))
    first, again, other = (
        Prepared("medicine", "chat=0.5", seed=seed, folder=f"run{number}").texts()
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert sorted(first) != sorted(other)


def test_the_rows_that_are_trained_on_are_marked_among_all_that_are_read():
    table("medicine", row(0), row(1, " "), row(2, LONG), row(3))
    one = Prepared("medicine")
    assert [mark.tolist() for mark in one.gathered.trained] == [[True, False, False, True]]
    assert sorted(one.gathered.order.tolist()) == [0, 1]


def test_unreadable_rows_are_no_fault_of_the_template():
    table("medicine", *with_faults(100, 5, bad=" "))
    one = Prepared("medicine")
    report = one.report()
    assert report.refused == ()
    assert report.left_out == {"unreadable": 5}
    first = report.sets["medicine"].examples["unreadable"][0]
    assert first == ("train.jsonl: row 1", "message 2 (assistant): empty")


def near(number: int) -> dict[str, str]:
    """A conversation that is near to row `number`, and opens otherwise."""
    return row(number, ANSWER + "祝您早日康复。")


ANSWER = (
    "先别紧张，饭后胃胀反酸多见于胃食管反流，建议少食多餐、睡前三小时不进食，口服奥美拉唑两周，若仍不缓解再做胃镜检查。"
)


def test_two_configs_of_one_set_are_alike_as_within_it_and_two_sets_are_not():
    for folder in ("set", "other"):
        written(f"{folder}/a/train.jsonl", lines(row(1, ANSWER)))
        written(f"{folder}/b/train.jsonl", lines(row(2)))
        written(f"{folder}/b/validation.jsonl", lines(near(1), row(3)))
    written("set/a/validation.jsonl", lines(row(4)))
    together, apart = Prepared("set:a,b", folder="x").held_out(), Prepared("set:a", "set:b", folder="y").held_out()
    assert together.leaks == apart.leaks == []
    assert together.rows == apart.rows == {"held_out": 2, "general_probe": together.rows["general_probe"]}
    for one in (together, apart):
        assert one.unmeasured["held_out"].left_out == {"alike to a training row of its own data set": 1}
    (leak,) = Prepared("set:a", "other:b", folder="z").held_out().leaks
    assert (leak.place, leak.held) == ("set | a/train.jsonl: row 1", "other | b/validation.jsonl: row 1")


def test_held_out_rows_that_cannot_be_measured_on_are_counted_with_their_reasons():
    written("set/train.jsonl", lines(row(1, ANSWER)))
    written("set/validation.jsonl", lines(near(1), row(2), row(3, LONG), row(4, " ")))
    held_out = Prepared("set").held_out()
    assert held_out.rows["held_out"] == 1
    assert held_out.unmeasured["held_out"].left_out == {
        "alike to a training row of its own data set": 1,
        "longer than max_length": 1,
        "unreadable": 1,
    }
    assert held_out.rows["general_probe"] == 60


def test_of_the_general_probe_what_does_not_fit_is_counted_too():
    table("medicine", row(1, "好。"))
    held_out = Prepared("medicine", length=96).held_out()
    short = held_out.unmeasured["general_probe"].left_out["longer than max_length"]
    assert 0 < short < 60
    assert held_out.rows["general_probe"] == 60 - short


def test_a_row_that_is_not_trained_on_leaks_nothing():
    exam = [row(3, ANSWER), row(70, LONG), row(31, "早点睡。")]
    written("exam/train.jsonl", lines(row(50)))
    written("exam/validation.jsonl", lines(*exam))
    table("medicine", *(row(number, ANSWER) for number in range(10)), row(70, LONG))
    table("chat", *(row(number, "早点睡。") for number in range(20, 40)))
    one = Prepared("medicine", "exam", "chat=0.0833")
    assert rows_of(one) == [10, 1, 1]  # row 70 is too long, and one row of chat is drawn, but not row 31
    assert not any(asked(31) in text for text in one.texts())
    assert [leak.place for leak in one.held_out().leaks] == ["medicine | train.jsonl: row 4"]
