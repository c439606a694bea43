"""The engine remembers which keys came, in a few bytes each, and rows on disk alone."""

from builders.engine.seen import SLOTS, Seen
from builders.engine.spool import Spool


def test_a_key_is_new_once():
    seen = Seen()
    assert [seen.add(key) for key in ("a", "b", "a", "", "")] == [True, True, False, True, False]
    assert len(seen) == 3


def test_every_key_is_still_known_after_the_table_has_grown():
    seen = Seen()
    many = SLOTS  # more than two thirds of it, so it grows
    assert all(seen.add(f"key {number}") for number in range(many))
    assert not any(seen.add(f"key {number}") for number in range(many))
    assert len(seen) == many


def test_lines_come_back_in_the_order_of_their_keys_as_often_as_asked(tmp_path):
    spool = Spool(tmp_path)
    for order, line in (("2", "zwei\n"), ("10", "第三行 🩺"), ("1", ""), ("1.5", "x" * 100_000)):
        spool.add(order, line)
    for _ in range(2):
        assert list(spool) == ["", "x" * 100_000, "第三行 🩺", "zwei\n"]
    spool.add("0", "first")
    assert next(iter(spool)) == "first"
    assert len(spool) == 5
    spool.close()
    assert list(tmp_path.iterdir()) == []
