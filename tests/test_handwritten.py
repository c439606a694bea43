"""What people write into a card stays where they wrote it; what is generated is replaced."""

import pytest

from cards.handwritten import BEGIN, END, handwritten, with_handwritten, wrapped


def card(body: str, yaml: str = "license: cc0-1.0\n") -> str:
    """A generated card."""
    return f"---\n{yaml}---\n\n{wrapped(body)}"


def test_a_generated_card_has_nothing_written_by_hand():
    assert handwritten(card("# Rows 1.0.0")).words == ("", "")
    assert with_handwritten(card("# Rows 1.1.0"), handwritten(card("# Rows 1.0.0"))) == card("# Rows 1.1.0")


def test_text_before_and_after_the_marks_stays_in_its_place():
    old = card("# Rows 1.0.0").replace(BEGIN, f"Mine, on top.\n\n{BEGIN}") + "\n## Citation\n\nMine, below.\n"
    new = with_handwritten(card("# Rows 1.1.0"), handwritten(old))
    assert (
        new
        == f"---\nlicense: cc0-1.0\n---\n\nMine, on top.\n\n{BEGIN}\n\n# Rows 1.1.0\n\n{END}\n\n## Citation\n\nMine, below.\n"
    )
    assert with_handwritten(new, handwritten(new)) == new


def test_yaml_keys_of_people_stay_and_generated_ones_are_replaced():
    old = card("old", "license: mit\nextra_gated_prompt: Fragen Sie zuerst – 先问。\nviewer: false\n")
    new = with_handwritten(card("new"), handwritten(old))
    assert new.startswith("---\nlicense: cc0-1.0\nextra_gated_prompt: Fragen Sie zuerst – 先问。\nviewer: false\n---\n")


def test_a_card_without_marks_is_all_theirs_and_stands_before_ours():
    new = with_handwritten(card("# Rows"), handwritten("---\nviewer: false\n---\n# My data\n\nAbout it.\n"))
    assert new.index("# My data") < new.index(BEGIN) < new.index("# Rows")
    assert "viewer: false\n" in new
    assert handwritten("# No YAML at all").words == ("# No YAML at all", "")


def test_marks_inside_a_row_that_the_card_shows_end_nothing():
    body = f"## A row\n\n{END}\n\nwhat follows is still generated {BEGIN}"
    assert handwritten(card(body)).words == ("", "")
    assert with_handwritten(card(body), handwritten(card(body))) == card(body)


def test_windows_line_ends_are_no_obstacle():
    old = "---\r\nviewer: false\r\n---\r\n\r\nMine.\r\n"
    kept = handwritten(old)
    assert (kept.words, kept.keys) == (("Mine.", ""), {"viewer": False})


@pytest.mark.parametrize("head", ["---\na: [\n---\n", "---\n- a\n---\n", "---\nplain\n---\n"])
def test_a_yaml_block_that_is_none_is_said_so(head):
    with pytest.raises(ValueError, match="the YAML block"):
        handwritten(f"{head}\nbody")
