# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of results: accuracy over SNR, gaps to the exact classifier, accuracy over
pruning efficiency and over speed, confusion matrices, feature maps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UserError

PictureContent = dict[str, Any]

LINES = 10
"""As many lines as one picture can hold and still be read."""

# Okabe and Ito's colours, which colour-blind readers tell apart, and two greys.
_COLOURS = (
    "#000000",
    "#E69F00",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#B8A900",
    "#7F7F7F",
    "#5B3A8C",
)
_MARKERS = "osD^vP*X<>"

_FAR_BELOW = 18
"""Points of accuracy below the best that the picture of accuracy by speed shows to scale."""


def accuracy_by_snr(content: PictureContent) -> Any:
    """A figure of accuracy over SNR label.

    ``content``: ``title``, ``lines`` of ``name``, ``snr`` (dB), ``mean`` (share) and ``std``
    (share, drawn as a band, or None), at most ``LINES``, and if it is not the label what lies
    ``across``.
    """
    figure = _figure(8.5, 5.2)
    axis = figure.subplots()
    for line, colour, marker in zip(content["lines"], _COLOURS, _MARKERS, strict=False):
        snr, mean = np.array(line["snr"]), 100 * np.array(line["mean"])
        axis.plot(snr, mean, color=colour, marker=marker, ms=4, lw=1.4, label=line["name"])
        if line["std"] is not None:
            spread = 100 * np.array(line["std"])
            axis.fill_between(snr, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    axis.set_title(content["title"], fontsize=10)
    labels = sorted({label for line in content["lines"] for label in line["snr"]})
    axis.set_xticks(labels[:: 1 + len(labels) // 12])
    axis.set_xlabel(content.get("across", "SNR label (dB)"))
    axis.set_ylabel("accuracy (%)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="best")
    return figure


def gaps(content: PictureContent) -> Any:
    """A figure of accuracy over Es/N0 and, below, of how much the exact classifier has more.

    ``content``: ``title``, ``es_n0`` (dB), ``exact`` (accuracy, share), and ``lines`` of ``name``,
    ``gap`` (share) with ``gap_standard_error``, drawn twice as a bar, and ``expected_gap``; points
    of different lines stand a little beside each other.
    """
    figure = _figure(8.5, 7.5)
    above, below = figure.subplots(2, sharex=True)
    es_n0, exact = np.array(content["es_n0"]), 100 * np.array(content["exact"])
    above.plot(es_n0, exact, color=_COLOURS[0], lw=1.4, label="exact")
    middle = (len(content["lines"]) - 1) / 2
    drawn = zip(content["lines"], _COLOURS[1:], _MARKERS, strict=False)
    for number, (line, colour, marker) in enumerate(drawn):
        gap, error = 100 * np.array(line["gap"]), 200 * np.array(line["gap_standard_error"])
        style = {"color": colour, "marker": marker, "ms": 4}
        above.plot(es_n0, exact - gap, lw=1.0, label=line["name"], **style)
        beside = es_n0 + 0.15 * (number - middle)
        below.errorbar(beside, gap, error, lw=0, elinewidth=1.0, capsize=2, **style)
        expected = 100 * np.array(line["expected_gap"])
        below.plot(es_n0, expected, color=colour, lw=1.4, label=line["name"])
    below.axhline(0.0, color=_COLOURS[0], lw=0.8)
    above.set_title(content["title"], fontsize=10)
    above.set_ylabel("accuracy (%)")
    below.set_ylabel("gap (percentage points)")
    below.set_title("points: counted, ± 2 standard errors; lines: expected", fontsize=9)
    below.set_xlabel("Es/N0 (dB)")
    below.set_xticks(es_n0)
    for axis in (above, below):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="upper left")
    return figure


def pruning_efficiency(content: PictureContent) -> Any:
    """A figure of accuracy over the share of weights that are zero.

    ``content``: ``title``, and ``lines`` of ``name``, ``p_e`` and ``accuracy`` (shares) with the
    ``gain`` of each point, and ``original``, the accuracy before, drawn dashed.
    """
    figure = _figure(8.5, 5.2)
    axis = figure.subplots()
    for line, colour, marker in zip(content["lines"], _COLOURS, _MARKERS, strict=False):
        p_e, accuracy = 100 * np.array(line["p_e"]), 100 * np.array(line["accuracy"])
        axis.plot(p_e, accuracy, color=colour, marker=marker, ms=5, lw=1.4, label=line["name"])
        axis.axhline(100 * line["original"], color=colour, lw=0.8, ls="--")
        for x, y, gain in zip(p_e, accuracy, line["gain"], strict=True):
            axis.annotate(f"{gain:g}", (x, y), (4, 4), textcoords="offset points", fontsize=8)
    axis.set_title(
        f"{content['title']}\npoints: allowed errors (epsilon); dashed: not pruned", fontsize=10
    )
    axis.set_xlabel("pruning efficiency (%)")
    axis.set_ylabel("accuracy (%)")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="best")
    return figure


def accuracy_by_speed(content: PictureContent) -> Any:
    """A figure of accuracy over frames a second, a panel for networks that were trained alike.

    ``content``: ``panels`` of ``title`` and ``points`` of ``member``, ``frames_per_second``,
    ``overall`` (share), ``own`` (filled) and ``frontier`` (joined by a line). Points far below the
    best are named at the lower edge.
    """
    from adjustText import adjust_text

    panels = content["panels"]
    figure = _figure(8.5, 4.8 * len(panels))
    for axis, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        best = sorted(
            (point["frames_per_second"], 100 * point["overall"])
            for point in panel["points"]
            if point["frontier"]
        )
        axis.plot(*zip(*best, strict=True), color=_COLOURS[8], lw=1.2, zorder=1)
        for own, name in ((True, "ours"), (False, "of papers")):
            shown = [point for point in panel["points"] if point["own"] == own]
            axis.scatter(
                [point["frames_per_second"] for point in shown],
                [100 * point["overall"] for point in shown],
                s=34,
                label=name,
                edgecolors=_COLOURS[3] if own else _COLOURS[2],
                facecolors=_COLOURS[3] if own else "none",
            )
        floor = 100 * max(point["overall"] for point in panel["points"]) - _FAR_BELOW
        names = []
        for point in panel["points"]:
            x, y = point["frames_per_second"], 100 * point["overall"]
            if y > floor:
                names.append(axis.text(x, y, point["member"], fontsize=8))
            else:
                axis.text(x, floor, f"{point['member']}, {y:.1f} ↓", fontsize=8, va="bottom")
        axis.set_xscale("log")
        axis.set_title(f"{panel['title']}; line: frontier", fontsize=10)
        axis.set_xlabel("frames a second")
        axis.set_ylabel("accuracy (%)")
        axis.margins(x=0.12)
        axis.set_ylim(bottom=max(axis.get_ylim()[0], floor))
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8, loc="lower left")
        adjust_text(
            names,
            ax=axis,
            expand=(1.1, 1.8),
            arrowprops={"arrowstyle": "-", "color": _COLOURS[8], "lw": 0.6},
        )
    return figure


def confusions(content: PictureContent) -> Any:
    """A figure of confusion matrices, rows normalised to percent.

    ``content``: ``title``, ``classes``, and ``panels`` of ``name`` and ``confusion`` (counts,
    ``[i][j]`` class i called class j). Up to 12 classes carry their figures.
    """
    classes, panels = content["classes"], content["panels"]
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    side = 4.6 if len(classes) <= 12 else 6.0
    figure = _figure(side * across + 0.8, 0.92 * side * down + 0.6)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        counts = np.array(panel["confusion"], float)
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
        axis.set_title(panel["name"], fontsize=10)
        axis.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        axis.set_yticks(range(len(classes)), classes, fontsize=7)
        axis.set_xlabel("called", fontsize=9)
        axis.set_ylabel("true", fontsize=9)
        if len(classes) <= 12:
            for (row, column), value in np.ndenumerate(share):
                if value >= 0.5:
                    axis.text(
                        column,
                        row,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=6.5,
                        color="white" if value > 55 else "black",
                    )
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.colorbar(image, ax=axes.tolist(), label="share of the true class (%)", shrink=0.8)
    figure.suptitle(content["title"], fontsize=11)
    return figure


def feature_maps(content: PictureContent) -> Any:
    """A figure of maps, one row of panels a network, which share their colours.

    ``content``: ``title``, ``across`` (panels in a row), and ``panels`` of ``name`` and ``map``
    (rows of values).
    """
    panels, across = content["panels"], content["across"]
    down = math.ceil(len(panels) / across)
    figure = _figure(4.2 * across + 0.8, 4.0 * down + 0.6)
    axes = figure.subplots(down, across, squeeze=False)
    for at, row in enumerate(axes):
        of_network = panels[at * across : (at + 1) * across]
        limit = max(np.abs(panel["map"]).max() for panel in of_network) or 1.0
        for axis, panel in zip(row, of_network, strict=True):
            image = axis.imshow(np.array(panel["map"]), cmap="RdBu", vmin=-limit, vmax=limit)
            axis.set_title(panel["name"], fontsize=10)
        figure.colorbar(image, ax=list(row), shrink=0.8)
    figure.suptitle(content["title"], fontsize=11)
    return figure


def save(figure: Any, path: Path, note: str) -> None:
    """Write a PNG file with ``note`` in its metadata and nothing that changes by itself."""
    figure.savefig(path, format="png", metadata={"Software": None, "Description": note})


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("pictures need the Python package matplotlib") from error
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
