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


def look_for_gate(source: Source, plan: FrontEndPlan, frame: int) -> float:
    """Read the first segment of a source, behind the front end, and return the gate in dBFS.

    ``frame`` is the number of samples whose mean power decides together.
    """
    segment = source.segments[0]
    if segment.count is None:
        count = round(_ENDLESS_LOOK_S * plan.output_rate)
    else:
        count = plan.output_count(segment.count)
    frames = min(count, _MAX_LOOK) // frame
    if frames == 0:
        return OPEN_DB
    graph = gr.top_block("first look")
    power = blocks.complex_to_mag_squared()
    total = blocks.integrate_ff(frame)
    sink = blocks.vector_sink_f(1, frames)
    graph.connect(source.connect(graph, segment), FrontEnd(plan), power, total)
    graph.connect(total, blocks.head(gr.sizeof_float, frames), sink)
    graph.run()
    powers = np.asarray(sink.data(), dtype=np.float64) / frame
    with np.errstate(divide="ignore"):
        gate_db = gate_from_powers(10 * np.log10(powers))
    log.info("first look: %d frames, gate at %.1f dBFS", len(powers), gate_db)
    return gate_db
