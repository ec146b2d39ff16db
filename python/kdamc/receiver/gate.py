# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first look at a recording: where does noise end and signal begin?

Recordings of packets hold passages of noise alone, which a classifier would label all the same.
Frame powers then fall into two heaps, and the gate belongs between them.  Where they form one
heap (a steady signal, or noise from end to end) there is nothing to tell apart by power, and
the gate stays open.
"""

from __future__ import annotations

import logging

import numpy as np
from gnuradio import blocks, gr

from .front_end import FrontEnd, FrontEndPlan
from .sources import Source

log = logging.getLogger(__name__)

#: An open gate, dBFS.
OPEN_DB = -200.0
#: The heaps must be this far apart, and each must hold this share of the frames.
_MIN_STEP_DB = 6.0
_MIN_SHARE = 0.01
#: The gate lies this far above nearly all of the noise.
_MARGIN_DB = 3.0
_BIN_DB = 0.25
#: Mean fourth power over squared mean power of a frame: 2 of complex Gaussian noise.
_NOISE_KURTOSIS = (1.8, 2.2)
#: No more of a source than this is looked at, samples of the front end's output.
_MAX_LOOK = 1 << 25
#: And no more than this of a source that has no end, seconds.
_ENDLESS_LOOK_S = 20.0


def gate_from_powers(powers_db: np.ndarray) -> float:
    """The gate, dBFS, for these frame powers, dBFS; :data:`OPEN_DB` if they form one heap."""
    levels = powers_db[np.isfinite(powers_db) & (powers_db > OPEN_DB)]
    if len(levels) < 2 or np.ptp(levels) < _MIN_STEP_DB:
        return OPEN_DB
    edges = np.arange(levels.min(), levels.max() + 2 * _BIN_DB, _BIN_DB)
    counts, _ = np.histogram(levels, edges)
    centres = (edges[:-1] + edges[1:]) / 2
    # Otsu's threshold: the cut that leaves the least variance within the two heaps; all cuts
    # through the empty space between them are equally good, so take the middle one.
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (mean_above - mean_below) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    cut = edges[1 + int(best[len(best) // 2])]
    low, high = levels[levels < cut], levels[levels >= cut]
    if min(len(low), len(high)) < _MIN_SHARE * len(levels):
        return OPEN_DB
    if np.median(high) - np.median(low) < _MIN_STEP_DB:
        return OPEN_DB
    # Weak signals lie close above the noise: no higher than needed, and no higher than the cut.
    return float(min(cut, np.percentile(low, 95) + _MARGIN_DB))


def gate_over_noise(powers_db: np.ndarray, kurtosis: np.ndarray) -> float:
    """The highest gate, dBFS, under which all heaps of frame powers look like Gaussian noise.

    A receiver with automatic gain makes noise of several levels. ``kurtosis`` is each frame's mean
    fourth power over the square of its mean power.
    """
    gate_db = OPEN_DB
    while True:
        higher = gate_from_powers(powers_db[powers_db >= gate_db])
        between = kurtosis[(powers_db >= gate_db) & (powers_db < higher)]
        if not len(between) or not _NOISE_KURTOSIS[0] < np.median(between) < _NOISE_KURTOSIS[1]:
            return gate_db
        gate_db = higher


def look_for_gate(
    source: Source, plan: FrontEndPlan, frame: int, follower: gr.basic_block | None = None
) -> float:
    """Read the first segment of a source, behind the front end, and return the gate in dBFS.

    ``frame`` is the number of samples whose mean power decides together. Behind a ``follower``,
    which may hand on one signal after another, what is left out must also look like noise: a signal
    that is weaker than another does not.
    """
    segment = source.segments[0]
    if segment.count is None:
        count = round(_ENDLESS_LOOK_S * plan.output_rate)
    else:
        count = plan.output_count(segment.count)
    if min(count, _MAX_LOOK) < frame:
        return OPEN_DB
    graph = gr.top_block("first look")
    parts = [source.connect(graph, segment), FrontEnd(plan)]
    parts.append(blocks.head(gr.sizeof_gr_complex, min(count, _MAX_LOOK)))
    if follower is not None:
        parts.append(follower)
    power, square = blocks.complex_to_mag_squared(), blocks.multiply_ff()
    graph.connect(*parts, power)
    sinks = []
    for stage in (power, square):
        sinks.append(blocks.vector_sink_f())
        graph.connect(stage, blocks.integrate_ff(frame), sinks[-1])
    for port in (0, 1):
        graph.connect(power, (square, port))
    graph.run()
    powers, squares = (np.asarray(sink.data(), dtype=np.float64) / frame for sink in sinks)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = 10 * np.log10(powers)
        kurtosis = squares / powers**2
    gate_db = gate_from_powers(levels) if follower is None else gate_over_noise(levels, kurtosis)
    log.info("first look: %d frames, gate at %.1f dBFS", len(powers), gate_db)
    return gate_db
