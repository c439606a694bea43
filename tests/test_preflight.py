"""What a preflight finds before training, and what it refuses, with the reason and the remedy."""

import json

import numpy as np
import pytest

from schemas.settings import InputError
from trainers.engine.memory import Estimate, Way
from trainers.engine.preflight import Check, Tally, examine, memory_check, refuse
from trainers.engine.rows.leaks import Text, shared
from trainers.engine.rows.mixture import Share

SEVEN_B = Estimate(
    weights=28.4, gradients=28.4, optimizer=56.7, activations=9.0, logits=3.6, buffers=13.2, reserve=7.7
)  # 147.0 in all
FITS = memory_check(SEVEN_B, None, lambda room: [])

STOMACH = "患者：医生您好，我最近三天饭后总是胃胀、反酸，晚上睡不好，需要做胃镜吗？医生：先别紧张，饭后胃胀反酸多见于胃食管反流，建议少食多餐、睡前三小时不进食，口服奥美拉唑两周，若仍不缓解再做胃镜检查。"
FEVER = "患者：孩子两岁，昨晚开始发烧三十九度，吃了美林退了又烧，要不要去医院？医生：先看精神状态，超过三天不退、抽搐或者嗜睡要马上就诊，现在多喝水，体温超过三十八度五再用退烧药，两次间隔六小时。"
RASH = "患者：手臂上起了一片红疹，很痒，抓了以后更多了，是过敏吗？医生：像是接触性皮炎，停用新换的洗衣液，外用炉甘石洗剂，口服氯雷他定，一周不好请来皮肤科面诊。"


def report_of(tally, *, held_out=5, leaks=(), memory=FITS, **more):
    return examine(tally, held_out=held_out, leaks=leaks, memory=memory, micro=2, **more)


def kept(rows, data="build/set", tokens=100):
    tally = Tally()
    for _ in range(rows):
        tally.keep(data, tokens=tokens, answer=40)
    return tally


def check(report, name):
    return next(one for one in report.checks if one.name == name)


def said(place, whole, *, cluster="", release="build/set"):
    return Text(place, cluster, whole[3:20], whole, release)


def exam(place, whole, **more):
    return said(place, whole, release="org/exam", **more)


def leaks_of(train, held):
    return shared(train, held).leaks


def test_one_row_in_a_hundred_may_not_go_with_the_template():
    tally = kept(99)
    tally.leave_out("build/set", "d.parquet: row 12", "a turn does not survive the template: message 2, assistant")
    report = report_of(tally)
    refuse(report)
    assert report.refused == ()
    assert report.left_out == {"a turn does not survive the template": 1}


def test_more_than_one_in_a_hundred_refuse_the_run_with_the_reason_and_the_first_row():
    tally = kept(97)
    for row, message in ((12, 2), (40, 4)):
        reason = f"a turn does not survive the template: message {message}, assistant"
        tally.leave_out("build/set", f"d.parquet: row {row}", reason)
    tally.leave_out("build/set", "d.parquet: row 77", "nothing is under the loss: the template marks no answer")
    with pytest.raises(InputError) as wrong:
        refuse(report_of(tally))
    assert str(wrong.value) == (
        "preflight: template: 3 of 100 rows of build/set (3.0%): 2: a turn does not survive the template, first "
        "d.parquet: row 12 (message 2, assistant); name a template that fits with --template, or mend the rows"
    )


def test_a_large_clean_data_set_does_not_hide_a_small_broken_one():
    tally = kept(10_000, data="org/large")
    tally.keep("small.jsonl", tokens=50, answer=20)
    tally.leave_out(
        "small.jsonl", "small.jsonl: row 2", "holds a control token of the template: '<|im_end|>' in message 1"
    )
    (failed,) = report_of(tally).refused
    assert failed.said.startswith("1 of 2 rows of small.jsonl (50.0%): holds a control token of the template")


def test_long_rows_are_left_out_until_they_are_most_of_the_data():
    def with_long(rows):
        tally = kept(100)
        for row in range(rows):
            tally.leave_out("build/set", f"d.parquet: row {row}", "longer than max_length: 3102 tokens of 2048")
        return report_of(tally)

    assert with_long(100).refused == ()
    (failed,) = with_long(101).refused
    assert failed.said.startswith(
        "101 of 201 rows of build/set (50.2%): longer than max_length, first d.parquet: row 0"
    )
    assert failed.remedy == "raise --max-length"


def test_unreadable_rows_send_nobody_to_the_length():
    tally = kept(1)
    for row in (2, 3):
        tally.leave_out("belle.jsonl", f"belle.jsonl: row {row}", "unreadable: message 1 (user): empty")
    (failed,) = report_of(tally).refused
    assert "--max-length" not in failed.remedy


def test_no_row_left_is_refused_and_says_where_they_went():
    tally = Tally()
    tally.leave_out("belle.jsonl", "belle.jsonl: row 1", "unreadable: no assistant turn")
    rows = check(report_of(tally), "rows")
    assert not rows.passed
    assert rows.said == "0 of 1 kept (1 unreadable)"
    assert not check(report_of(Tally()), "rows").passed


def test_every_failed_check_is_named_in_one_line():
    leaks = leaks_of([said("train row 1", STOMACH)], [exam("exam row 8", STOMACH)])
    memory = memory_check(SEVEN_B, 79.2, lambda room: [Way("--profile zero2", 51.5)])
    with pytest.raises(InputError) as wrong:
        refuse(report_of(kept(3), leaks=leaks, memory=memory))
    line = str(wrong.value)
    assert "\n" not in line
    assert "leaks: 1 conversation stands in an evaluation set too" in line
    assert "memory: 147.0 GiB a process" in line
    assert "would fit: --profile zero2 (51.5 GiB)" in line


def test_a_check_of_a_trainers_own_refuses_like_any_other():
    kl = Check("kl at step 0", passed=False, said="0.3, must be below 0.0001", remedy="is it the same model?")
    with pytest.raises(
        InputError, match=r"preflight: kl at step 0: 0\.3, must be below 0\.0001; is it the same model\?"
    ):
        refuse(report_of(kept(3), extra=[kl]))


def test_training_without_held_out_rows_is_allowed_and_said():
    held_out = check(report_of(kept(3), held_out=0), "held out")
    assert held_out.passed
    assert held_out.said.startswith("no held-out rows")


def test_held_out_rows_that_are_not_measured_on_are_counted_by_set_and_reason():
    tally = Tally()
    for number in (4, 7):
        tally.leave_out("held_out", f"validation.jsonl: row {number}", "unreadable: message 1 (user): empty")
    tally.leave_out("general_probe", "general_probe.jsonl: row 9", "longer than max_length: 300 tokens of 256")
    report = report_of(kept(3), held_out=496, unmeasured=tally.sets)
    assert check(report, "held out").said == (
        "496 held-out rows; not measured on: 2 of held_out: unreadable, 1 of general_probe: longer than max_length"
    )
    assert "    validation.jsonl: row 7: message 1 (user): empty" in report.text().split("\n")


def test_shares_are_reported_as_asked_and_as_got():
    shares = [Share("org/general", 0.25, 0.2501, 1), Share("small.jsonl", 0.1, 0.1, 4)]
    assert check(report_of(kept(3), shares=shares), "shares").said == (
        "org/general 25.0% asked, 25.0% got; small.jsonl 10.0% asked, 10.0% got, rows up to 4 times"
    )
    assert "shares" not in [one.name for one in report_of(kept(3)).checks]


def test_lengths_are_those_of_the_rows_that_are_kept():
    tally = Tally()
    for tokens in range(1, 101):
        tally.keep("build/set", tokens=tokens, answer=1, dropped=2 * (tokens > 95))
    tally.leave_out("build/set", "d.parquet: row 101", "longer than max_length: 9999 tokens of 100")
    lengths = report_of(tally).lengths
    assert dict(lengths.quantiles) == {50: 50, 90: 90, 99: 99, 100: 100}
    assert (lengths.tokens, lengths.answer_tokens) == (5050, 100)  # 100 x 101 / 2
    assert (lengths.shortened, lengths.dropped) == (5, 10)


def test_padding_is_what_unequal_neighbours_cost():
    tally = kept(2, tokens=10)
    tally.keep("build/set", tokens=30, answer=5)
    # three rows, two at once, in whatever order: 10+10 | 30 computes 20 + 30, 10+30 | 10 computes 60 + 10
    assert report_of(tally).lengths.padding in (pytest.approx(0.0), pytest.approx(1 - 50 / 70))
    assert examine(tally, held_out=1, leaks=(), memory=FITS, micro=3).lengths.padding == pytest.approx(1 - 50 / 90)


def test_the_text_shows_examples_and_samples_and_the_record_no_text_of_a_row():
    tally = kept(200)
    tally.leave_out(
        "build/set", "d.parquet: row 12", "holds a control token of the template: '<|im_end|>' in message 1"
    )
    report = report_of(tally, samples=["<user>肚子疼<doctor>【多喝水】"])
    assert "d.parquet: row 12: '<|im_end|>' in message 1" in report.text()
    assert "【多喝水】" in report.text()
    record = json.dumps(report.record(), ensure_ascii=False)
    assert "d.parquet: row 12" in record
    assert "多喝水" not in record
    assert json.loads(record)["data"]["build/set"]["kept"] == 200


def test_only_three_examples_of_a_reason_are_kept_and_all_rows_are_counted():
    tally = Tally()
    for row in range(9):
        tally.leave_out("belle.jsonl", f"belle.jsonl: row {row}", f"unreadable: message {row}: empty")
    one = tally.sets["belle.jsonl"]
    assert one.left_out == {"unreadable": 9}
    assert [example.place for example in one.examples["unreadable"]] == [f"belle.jsonl: row {row}" for row in (0, 1, 2)]


def test_memory_is_only_reported_where_there_is_no_gpu():
    assert FITS.passed
    assert "no GPU here" in FITS.said


def test_memory_that_fits_to_the_last_bit_passes_and_asks_for_no_other_way():
    def never(room):
        raise AssertionError

    assert memory_check(SEVEN_B, SEVEN_B.total, never).passed


def test_the_same_conversation_on_both_sides_is_a_leak():
    train = [said("train row 0", RASH), said("train row 1", STOMACH)]
    (leak,) = leaks_of(train, [exam("exam row 0", FEVER), exam("exam row 1", STOMACH)])
    assert (leak.place, leak.held, leak.similarity, leak.cluster) == ("train row 1", "exam row 1", 1.0, False)


def test_a_few_changed_words_do_not_hide_a_leak_and_its_similarity_is_exact():
    changed = STOMACH.replace("两周", "三周") + "祝您早日康复！"
    (leak,) = leaks_of([said("train row 0", changed)], [exam("exam row 0", STOMACH)])
    assert leak.similarity == pytest.approx(jaccard(changed, STOMACH))
    assert 0.8 <= leak.similarity < 1


def jaccard(one, other):
    """Of 5-character shingles; punctuation does not count."""
    one, other = ("".join(letter for letter in text if letter.isalnum()) for text in (one, other))
    left, right = ({text[at : at + 5] for at in range(len(text) - 4)} for text in (one, other))
    return len(left & right) / len(left | right)


def test_half_a_conversation_in_common_is_no_leak():
    half = STOMACH[: len(STOMACH) // 2] + RASH[len(RASH) // 2 :]
    assert jaccard(half, STOMACH) < 0.8
    assert leaks_of([said("train row 0", half)], [exam("exam row 0", STOMACH)]) == []


def test_one_cluster_on_both_sides_of_a_release_is_a_leak_however_the_texts_differ():
    train = [said("train row 0", RASH, cluster="c7")]
    (leak,) = leaks_of(train, [said("validation row 0", FEVER, cluster="c7")])
    assert leak.cluster
    assert leak.similarity < 0.1
    near = shared(train, [said("validation row 0", RASH + "谢谢您。", cluster="c7")])
    assert [one.cluster for one in near.leaks] == [True]
    assert near.alike == frozenset()
    assert leaks_of(train, [exam("exam row 0", FEVER, cluster="c7")]) == []
    assert leaks_of([said("train row 0", RASH)], [said("validation row 0", FEVER)]) == []


NEAR, NEARER = STOMACH + "祝您早日康复！", STOMACH + "祝您早！"


def test_what_is_merely_alike_within_a_release_is_no_leak_and_every_such_row_is_named():
    held = [said("validation row 0", NEAR), said("validation row 1", FEVER), said("validation row 2", NEARER)]
    found = shared([said("train row 0", STOMACH)], held)
    assert found.leaks == []
    assert found.alike == {"validation row 0", "validation row 2"}


def test_a_leak_to_another_release_is_not_hidden_by_a_nearer_row_of_its_own():
    held = [said("validation row 0", NEARER), exam("exam row 0", NEAR)]
    found = shared([said("train row 0", STOMACH)], held)
    assert [(leak.place, leak.held) for leak in found.leaks] == [
        ("train row 0", "exam row 0"),
        ("validation row 0", "exam row 0"),
    ]
    assert found.alike == {"validation row 0"}


def test_a_leak_of_one_cluster_is_not_forgiven_for_a_nearer_row_of_another():
    held = [said("validation row 0", NEAR, cluster="c1"), said("validation row 1", FEVER, cluster="c7")]
    found = shared([said("train row 0", STOMACH, cluster="c7")], held)
    assert [(leak.held, leak.cluster) for leak in found.leaks] == [("validation row 1", True)]
    assert found.alike == {"validation row 0"}


def test_evaluation_sets_share_nothing_among_themselves_either():
    (leak,) = leaks_of([], [said("validation row 0", FEVER), exam("exam row 3", FEVER)])
    assert (leak.place, leak.held) == ("validation row 0", "exam row 3")


def test_twins_inside_one_set_are_no_leak():
    assert shared([said("train row 0", RASH)] * 2, [said("validation row 0", FEVER)] * 2) == ([], frozenset())


def test_texts_without_a_letter_are_compared_like_any_other():
    (leak,) = leaks_of([said("train row 0", "？？！")], [exam("exam row 0", "？？！")])
    assert leak.held == "exam row 0"


def test_without_evaluation_rows_the_training_rows_are_not_even_read():
    def unread():
        raise AssertionError
        yield

    assert leaks_of(unread(), []) == []


def test_leaks_are_found_behind_the_first_batch_and_of_several_alike_the_nearest():
    train = [said(f"train row {row}", RASH) for row in range(9_000)] + [said("train row 9000", NEAR)]
    (leak,) = leaks_of(iter(train), [exam("exam row 0", STOMACH), exam("exam row 1", NEAR)])
    assert (leak.place, leak.held, leak.similarity) == ("train row 9000", "exam row 1", 1.0)


def test_a_text_repeated_on_both_sides_is_compared_once(monkeypatch):
    compared = []
    common = np.intersect1d

    def counted(*arrays, **more):
        compared.append(arrays)
        return common(*arrays, **more)

    monkeypatch.setattr(np, "intersect1d", counted)
    train = [said(f"train row {row}", STOMACH) for row in range(1_000)]
    leaks = leaks_of(train, [exam(f"exam row {row}", STOMACH) for row in range(200)])
    assert [leak.place for leak in leaks] == [text.place for text in train]
    assert len(compared) == 1
