"""The curves of a training run as one picture: a panel per figure, losses together, the same bytes every time."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cards.model_facts import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 8.4  # inches, as wide as the text of a page on the Hub: 800 px
PANEL = 2.3  # inches
COLUMNS = 2
TOGETHER = ("loss", "accuracy", "reward")
"""Curves whose names end in one of these share a panel, so that training and held-out rows can be compared."""
LOOKS = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"), ("#000000", "-"))
"""Colours of Okabe and Ito, told apart by colour-blind readers; the dashes tell them apart in print."""
FEW = 25
"""Points up to which each gets a dot."""
SETTINGS = {
    "svg.hashsalt": "suwen",  # else ids in the file are random
    "svg.fonttype": "path",  # the page needs no fonts of ours
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def curves_svg(curves: Sequence[Curve]) -> bytes:
    """An SVG of all curves over optimizer steps, axes linear; of no points at all, a picture that says so."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    panels = _panels([curve for curve in curves if curve.points])
    rows = max(1, -(-len(panels) // COLUMNS))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a matplotlibrc of the machine changes nothing
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(figsize=(WIDTH, PANEL * rows), layout="constrained")
        FigureCanvasSVG(figure)
        grid = figure.subplots(rows, min(COLUMNS, max(1, len(panels))), squeeze=False).flat
        for axes, (title, together) in zip(grid, panels.items(), strict=False):
            _draw(axes, title, together)
        for axes in list(figure.axes)[len(panels) :]:
            axes.remove()
        if not panels:
            figure.text(0.5, 0.5, "no step has been logged yet", ha="center")
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": "suwen", "Title": "Training curves"})
    return picture.getvalue()


def _panels(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Title of a panel -> its curves, in the order they come."""
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        last = curve.words.rsplit(" ", 1)[-1]
        panels.setdefault(last if last in TOGETHER else curve.words, []).append(curve)
    return {curves[0].words if len(curves) == 1 else title: curves for title, curves in panels.items()}


def _draw(axes: "Axes", title: str, curves: Sequence[Curve]) -> None:
    for number, curve in enumerate(curves):
        colour, dash = LOOKS[number % len(LOOKS)]
        steps, values = zip(*curve.points, strict=True)
        dot = "o" if len(steps) <= FEW else ""
        axes.plot(steps, values, dash, color=colour, marker=dot, markersize=3, linewidth=1.4, label=curve.words)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("optimizer step")
    axes.locator_params(axis="x", integer=True)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8)
