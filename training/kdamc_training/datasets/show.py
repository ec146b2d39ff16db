# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a data set file: a table of what it holds, and pictures class by class."""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import replacing
from .dataset_file import SNR_UNKNOWN, DataSetFile

_SAMPLED = 64
"""Frames a class that level and pictures are taken from."""


@dataclass(frozen=True)
class Shown:
    """Frames of one class: ``signal (m, L)`` complex64 at the SNR label ``label`` (dB)."""

    name: str
    label: int
    signal: np.ndarray


def table(data: DataSetFile) -> Any:
    """A ``rich`` table: frames by class and SNR label, passes, level, true SNR if drawn.

    SNR labels next to each other at which every class has as many frames as at the next are one
    column. The level is the RMS of complex samples, over up to 64 frames a class spread over all
    labels; the true SNR is the mean of ``draws/snr_db``.
    """
    from rich.table import Table

    y, z, passes = data.y[:].astype(int), data.z[:].astype(int), data.pass_id[:]
    classes = range(len(data.info.classes))
    labels = np.unique(z)
    counts = np.array(
        [[np.sum((y == index) & (z == label)) for label in labels] for index in classes]
    )
    columns = _equal_columns(counts)
    drawn = data.draws["snr_db"][:] if "snr_db" in data.draws else None

    shown = Table(title=f"{data.path.name}: {data.info.generator}, frames of {data.frame_length}")
    shown.add_column("class")
    for first, last in columns:
        shown.add_column(_heading(labels[first], labels[last], last - first + 1), justify="right")
    for name in ("frames", "passes", "RMS (dB)", *(["true SNR (dB)"] if drawn is not None else [])):
        shown.add_column(name, justify="right")
    for index in classes:
        own = y == index
        row = [data.info.classes[index]]
        row += [f"{counts[index, first]:,}" for first, _ in columns]
        row += [f"{own.sum():,}", f"{len(np.unique(passes[own])):,}", _level(data, own)]
        if drawn is not None:
            row.append(f"{drawn[own].mean():.1f}" if own.any() else "")
        shown.add_row(*row)
    total = ["all", *(f"{counts[:, first].sum():,}" for first, _ in columns)]
    total += [f"{len(y):,}", f"{len(np.unique(passes)):,}", ""]
    shown.add_section()
    shown.add_row(*total)
    return shown


def _equal_columns(counts: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of the runs of equal columns of ``counts (classes, labels)``."""
    changes = np.flatnonzero((np.diff(counts, axis=1) != 0).any(axis=0)) + 1
    edges = [0, *changes.tolist(), counts.shape[1]]
    return [(first, after - 1) for first, after in itertools.pairwise(edges)]


def _heading(low: int, high: int, labels: int) -> str:
    if low == SNR_UNKNOWN:
        return "SNR not known"
    return f"{low} dB" if labels == 1 else f"at each of {labels} labels, {low} to {high} dB"


def _level(data: DataSetFile, own: np.ndarray) -> str:
    chosen = np.flatnonzero(own)
    if not len(chosen):
        return ""
    signal = _signal(data, chosen[:: max(1, len(chosen) // _SAMPLED)])
    power = np.mean(np.abs(signal) ** 2)
    return f"{10 * math.log10(power):.1f}" if power > 0 else "silent"


def _signal(data: DataSetFile, chosen: np.ndarray) -> np.ndarray:
    """Frames ``chosen`` (sorted indices), complex64 ``(m, L)``."""
    x = np.stack([data.x[int(index)] for index in chosen]).astype(np.float32)
    return (x[:, 0] + 1j * x[:, 1]).astype(np.complex64)


def frames_to_show(data: DataSetFile) -> list[Shown]:
    """Of each class, up to 64 frames, spread over the file, at its highest known SNR label."""
    y, z = data.y[:], data.z[:].astype(int)
    found = []
    for index, name in enumerate(data.info.classes):
        own = np.flatnonzero(y == index)
        if not len(own):
            continue
        known = own[z[own] != SNR_UNKNOWN]
        label = int(z[known].max()) if len(known) else SNR_UNKNOWN
        chosen = own[z[own] == label]
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, _SAMPLED).astype(int))]
        found.append(Shown(name, label, _signal(data, chosen)))
    return found


def spectrum(signal: np.ndarray) -> np.ndarray:
    """Mean power density over frequency of frames ``(m, L)``, ``(L)``, 0 Hz in the middle.

    Hann window; in dB over the mean density of the frames, so that white noise lies at 0.
    """
    window = np.hanning(signal.shape[1] + 2)[1:-1]
    density = np.mean(np.abs(np.fft.fft(signal * window)) ** 2, axis=0)
    density = np.maximum(density / density.mean(), 1e-12)
    return 10 * np.log10(np.fft.fftshift(density))


def draw(data: DataSetFile, folder: str | os.PathLike) -> list[Path]:
    """Draw constellations, spectra and envelopes into ``folder``, a panel a class; their paths.

    The files are named after the data set file. The folder is made if it does not exist.
    Raises UserError if it cannot be, or if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("pictures need the Python package matplotlib") from error
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
    shown = frames_to_show(data)
    rate = data.info.sample_rate
    paths = []
    for kind, panel in (
        ("constellations", _constellation),
        ("spectra", _spectrum),
        ("envelopes", _envelope),
    ):
        across = min(6, len(shown), math.ceil(math.sqrt(len(shown) * 1.4)))
        down = math.ceil(len(shown) / across)
        figure = Figure(
            figsize=(max(6, 2.5 * across), 2.35 * down + 1.1), dpi=110, layout="constrained"
        )
        FigureCanvasAgg(figure)
        axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
        for axis, one in zip(axes, shown, strict=False):
            label = "SNR not known" if one.label == SNR_UNKNOWN else f"{one.label} dB"
            axis.set_title(f"{one.name}, {label}", fontsize=9)
            axis.tick_params(labelsize=7)
            panel(axis, one.signal, rate)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        # Where the last row is short, the ones above its gap carry the axis instead.
        for axis in axes[max(0, len(shown) - across) : len(shown)]:
            axis.tick_params(labelbottom=True)
        x_label, y_label, about = _WORDS[kind]
        figure.suptitle(f"{data.path.name}, {data.info.generator}\n{about}", fontsize=10)
        figure.supxlabel(x_label.format(unit=_unit(rate)[1]), fontsize=9)
        figure.supylabel(y_label, fontsize=9)
        path = folder / f"{data.path.stem}-{kind}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png")
        paths.append(path)
    return paths


_WORDS = {
    "constellations": (
        "I (RMS of a frame = 1)",
        "Q (RMS of a frame = 1)",
        "samples of up to 64 frames, brighter where more fall",
    ),
    "spectra": (
        "frequency ({unit})",
        "power density over its mean (dB)",
        "mean spectrum of up to 64 frames, Hann window",
    ),
    "envelopes": (
        "sample",
        "magnitude (RMS of a frame = 1)",
        "magnitude over time of three frames",
    ),
}


def _unit(rate: float) -> tuple[float, str]:
    """Divisor and name of the unit that suits frequencies up to ``rate`` (Hz)."""
    for factor, name in ((1e6, "MHz"), (1e3, "kHz")):
        if rate >= factor:
            return factor, name
    return 1.0, "Hz"


def _normalised(signal: np.ndarray) -> np.ndarray:
    rms = np.sqrt(np.mean(np.abs(signal) ** 2, axis=1, keepdims=True))
    return signal / np.where(rms > 0, rms, 1)


def _constellation(axis: Any, signal: np.ndarray, rate: float) -> None:
    scaled = _normalised(signal)
    edges = np.linspace(-2.5, 2.5, 91)
    counts, _, _ = np.histogram2d(scaled.imag.ravel(), scaled.real.ravel(), (edges, edges))
    # The root keeps the paths between symbols visible beside the symbols.
    axis.imshow(
        np.sqrt(counts), extent=(-2.5, 2.5, -2.5, 2.5), origin="lower", cmap="magma", aspect="equal"
    )
    axis.set_xticks([-2, 0, 2])
    axis.set_yticks([-2, 0, 2])


def _spectrum(axis: Any, signal: np.ndarray, rate: float) -> None:
    frequency = np.fft.fftshift(np.fft.fftfreq(signal.shape[1])) * rate / _unit(rate)[0]
    axis.plot(frequency, spectrum(signal), linewidth=0.9)
    axis.set_ylim(-45, 25)
    axis.grid(linewidth=0.3)


def _envelope(axis: Any, signal: np.ndarray, rate: float) -> None:
    for frame in _normalised(signal[np.linspace(0, len(signal) - 1, 3).astype(int)]):
        axis.plot(np.abs(frame[:256]), linewidth=0.7, alpha=0.8)
    axis.set_ylim(0, 3)
    axis.grid(linewidth=0.3)
