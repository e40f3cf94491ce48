"""Figures of curves: cold start by number of events, and what a re-ranking costs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys.evaluation.coldstart import Point
from recsys.evaluation.plots import _COLOURS, _INK, _colour, _figure, _label, _style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def coldstart_curves(points: Sequence[Point], metric: str = "ndcg_at_10") -> "Figure":
    """Plot each model's mean by number of told events, one panel per window, with 95 % bands."""
    windows = list(dict.fromkeys(point.window for point in points))
    figure, panels = _figure(1, len(windows), (6 * len(windows), 4.5))
    for axes, window in zip(panels, windows, strict=True):
        chosen = [point for point in points if point.window == window and point.metric == metric]
        counts = sorted({point.n_events for point in chosen})
        for position, model in enumerate(dict.fromkeys(point.model for point in chosen)):
            own = sorted((point for point in chosen if point.model == model), key=lambda point: point.n_events)
            places = [counts.index(point.n_events) for point in own]
            colour = _colour(model, position)
            axes.plot(places, [point.value for point in own], marker="o", color=colour, label=_label(model))
            axes.fill_between(
                places, [point.low for point in own], [point.high for point in own], color=colour, alpha=0.12
            )
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_ylim(bottom=0)
        _style(axes, f"Newcomers: {window} events told", "events told", metric.replace("_at_", "@"))
        axes.legend(frameon=False)
    return figure


def accuracy_against(
    rows: Sequence[Mapping[str, float | str]], beyond: Sequence[str], accuracy: str = "ndcg"
) -> "Figure":
    """Plot accuracy against each measure in `beyond`; rows of one `method` are joined in order of `strength`."""
    figure, panels = _figure(1, len(beyond), (4.2 * len(beyond), 4.2))
    for axes, measure in zip(panels, beyond, strict=True):
        for colour, method in zip(_COLOURS, dict.fromkeys(str(row["method"]) for row in rows), strict=False):
            own = sorted((row for row in rows if row["method"] == method), key=lambda row: float(row["strength"]))
            x, y = (np.array([float(row[name]) for row in own]) for name in (measure, accuracy))
            axes.plot(x, y, marker="o", markersize=4, color=colour, label=method)
            for row, at, value in zip(own, x, y, strict=True):
                axes.annotate(f"{float(row['strength']):g}", (at, value), fontsize=7, color=_INK)
        _style(axes, measure.replace("_", " "), measure.replace("_", " "), accuracy)
    panels[0].legend(frameon=False)
    return figure
