# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tune, filter and resample: what a signal needs before a network trained on it may see it.

A :class:`FrontEndPlan` holds the arithmetic, which needs no samples, and maps positions of what
comes out to positions of what went in, exactly; :class:`FrontEnd` is the blocks.

The resampling ratio is a ratio of small whole numbers, because that makes the positions exact
for streams of any length; a symbol rate off by a part in ten thousand is of no consequence to a
frame of some hundred samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from gnuradio import blocks, fft, filter, gr
from gnuradio.filter import firdes

from .errors import InputError

#: Largest relative error of the resampling ratio.
RATIO_TOLERANCE = 1e-4
_MAX_RATIO = 1 << 14
#: Length of the Hilbert transformer: reaches from 0.5 % to 49.5 % of the sample rate.
_HILBERT_TAPS = 401
#: The pass band ends at this share of half the lower sample rate, the stop band at 1.
_PASS_SHARE = 0.8
_STOP_BAND_DB = 60.0
#: At the end of its input the resampler keeps back an output sample; two to be safe.
_KEPT_BACK = 2


@dataclass(frozen=True)
class FrontEndPlan:
    """What the front end does to one segment; see :func:`plan_front_end`.

    ``tune_hz`` is moved to 0; the rate becomes ``sample_rate * interpolation / decimation``.
    ``taps`` work at ``sample_rate * interpolation``; none means that no filter is needed.
    """

    sample_rate: float
    is_complex: bool
    tune_hz: float
    interpolation: int
    decimation: int
    taps: tuple[float, ...]
    bandwidth_hz: float

    @property
    def output_rate(self) -> float:
        """Samples a second after the front end."""
        return self.sample_rate * self.interpolation / self.decimation

    @property
    def is_transparent(self) -> bool:
        """Whether samples leave as they came."""
        return self.is_complex and not self.taps and self.tune_hz == 0

    @property
    def delay(self) -> Fraction:
        """Group delay, samples of the source."""
        delay = Fraction(0)
        if not self.is_complex:
            delay += (_HILBERT_TAPS - 1) // 2
        if self.taps:
            delay += Fraction(len(self.taps) - 1, 2 * self.interpolation)
        return delay

    @property
    def skipped(self) -> int:
        """First output samples to drop: those that stand for times before the source began."""
        return math.ceil(self.delay * self.interpolation / self.decimation)

    @property
    def flush(self) -> int:
        """Zeros to append to the source so that its last sample gets out, and some more."""
        if not self.delay:
            return 0
        step = math.ceil(self.decimation / self.interpolation)
        return math.ceil(self.delay) + _KEPT_BACK * step

    def output_count(self, count: int) -> int:
        """How many output samples stand for ``count`` samples of a source."""
        end = (count + self.delay) * self.interpolation
        return max(0, math.ceil(end / self.decimation) - self.skipped)

    def source_position(self, output_index: int) -> Fraction:
        """The source sample, not whole, that an output sample stands for."""
        out = (output_index + self.skipped) * self.decimation
        return Fraction(out, self.interpolation) - self.delay

    def source_range(self, start: int, count: int, limit: int | None = None) -> tuple[int, int]:
        """``(first, count)`` of the source samples behind ``count`` output samples."""
        first = max(0, round(self.source_position(start)))
        end = round(self.source_position(start + count))
        if limit is not None:
            end = min(end, limit)
        return first, max(0, end - first)


def simple_ratio(ratio: float, tolerance: float = RATIO_TOLERANCE) -> Fraction:
    """The fraction with the smallest denominator within a relative ``tolerance`` of ``ratio``."""
    exact = Fraction(ratio)
    # Small ratios are 1/n plus little: there the numerator is what has to be small.
    turned = exact < 1
    target = 1 / exact if turned else exact
    low, high = 1, _MAX_RATIO
    while low < high:
        middle = (low + high) // 2
        if abs(target.limit_denominator(middle) / target - 1) <= tolerance:
            high = middle
        else:
            low = middle + 1
    found = target.limit_denominator(high)
    return 1 / found if turned else found


def _check_tune(sample_rate: float, is_complex: bool, tune_hz: float) -> None:
    low = -sample_rate / 2 if is_complex else 0.0
    if not low <= tune_hz <= sample_rate / 2:
        raise InputError(
            f"tuning to {tune_hz:g} Hz is outside the band, {low:g}..{sample_rate / 2:g} Hz"
        )


def plan_front_end(
    sample_rate: float,
    is_complex: bool = True,
    tune_hz: float = 0.0,
    symbol_rate: float | None = None,
    samples_per_symbol: float | None = None,
    bandwidth_hz: float | None = None,
) -> FrontEndPlan:
    """Plan a front end for samples at ``sample_rate`` (Hz), complex or real.

    ``symbol_rate`` (Hz) asks for ``samples_per_symbol`` at the output; ``bandwidth_hz`` asks for
    a filter with that two-sided pass band, where none is asked for, all that the lower of the
    two sample rates holds is passed: networks trained in white noise want it.
    Raises :class:`InputError` for what the source's band does not hold.
    """
    if not (math.isfinite(sample_rate) and sample_rate > 0):
        raise InputError(f"a sample rate of {sample_rate:g} Hz is impossible")
    _check_tune(sample_rate, is_complex, tune_hz)
    low_edge = -sample_rate / 2 if is_complex else 0.0

    ratio = Fraction(1)
    if symbol_rate is not None:
        if not (math.isfinite(symbol_rate) and symbol_rate > 0):
            raise InputError(f"a symbol rate of {symbol_rate:g} Hz is impossible")
        if samples_per_symbol is None:
            raise InputError(
                "the model does not say how many samples a symbol it wants; name it "
                "(--samples-per-symbol)"
            )
        half = symbol_rate / 2
        if tune_hz - half < low_edge or tune_hz + half > sample_rate / 2:
            raise InputError(
                f"symbol rate too high: {symbol_rate:g} Hz around {tune_hz:g} Hz does not fit in "
                f"the band, {low_edge:g}..{sample_rate / 2:g} Hz"
            )
        wanted = symbol_rate * samples_per_symbol / sample_rate
        if not 1 / _MAX_RATIO <= wanted <= _MAX_RATIO:
            raise InputError(
                f"resampling {sample_rate:g} Hz to {samples_per_symbol:g} samples a symbol of "
                f"{symbol_rate:g} Hz is out of reach"
            )
        ratio = simple_ratio(wanted)

    output_rate = sample_rate * ratio
    usable = float(min(sample_rate, output_rate))
    if bandwidth_hz is not None and not 0 < bandwidth_hz <= usable:
        raise InputError(f"a bandwidth of {bandwidth_hz:g} Hz is not between 0 and {usable:g} Hz")
    taps: tuple[float, ...] = ()
    if ratio != 1 or bandwidth_hz is not None:
        edge = usable / 2 * _PASS_SHARE
        transition = usable / 2 * (1 - _PASS_SHARE)
        if bandwidth_hz is not None and bandwidth_hz / 2 < edge:
            edge = bandwidth_hz / 2
            transition = min(bandwidth_hz / 4, usable / 2 - edge)
        designed = firdes.low_pass_2(
            ratio.numerator,
            sample_rate * ratio.numerator,
            edge + transition / 2,
            transition,
            _STOP_BAND_DB,
            fft.window.WIN_KAISER,
            0.1102 * (_STOP_BAND_DB - 8.7),
        )
        taps = tuple(designed)
    return FrontEndPlan(
        sample_rate=sample_rate,
        is_complex=is_complex,
        tune_hz=tune_hz,
        interpolation=ratio.numerator,
        decimation=ratio.denominator,
        taps=taps,
        bandwidth_hz=float(bandwidth_hz if bandwidth_hz is not None else usable),
    )


def plan_whole_band(sample_rate: float, is_complex: bool = True) -> FrontEndPlan:
    """The front end before a scanner: nothing, or the positive half of a real signal's band."""
    if is_complex:
        return plan_front_end(sample_rate)
    # What a Hilbert transformer leaves has no second half: it may be decimated unfiltered.
    return FrontEndPlan(
        sample_rate=sample_rate,
        is_complex=False,
        tune_hz=sample_rate / 4,
        interpolation=1,
        decimation=2,
        taps=(1.0,),
        bandwidth_hz=sample_rate / 2,
    )


class FrontEnd(gr.hier_block2):
    """The blocks of a plan: complex (or real floats) in, complex out.

    Append ``plan.flush`` zeros to a source that ends, and take ``plan.output_count`` samples.
    """

    def __init__(self, plan: FrontEndPlan):
        item = gr.sizeof_gr_complex if plan.is_complex else gr.sizeof_float
        gr.hier_block2.__init__(
            self,
            "front_end",
            gr.io_signature(1, 1, item),
            gr.io_signature(1, 1, gr.sizeof_gr_complex),
        )
        chain: list[gr.basic_block] = []
        if not plan.is_complex:
            chain.append(filter.hilbert_fc(_HILBERT_TAPS, fft.window.WIN_HAMMING))
        if plan.tune_hz:
            chain.append(blocks.rotator_cc(-2 * math.pi * plan.tune_hz / plan.sample_rate))
        if plan.taps:
            resampler = filter.rational_resampler_ccf(
                plan.interpolation, plan.decimation, plan.taps
            )
            # 3.10.5 asks for its history only when it runs: too late for the zeros in front of
            # the first sample, and everything would come early by the length of the filter.
            resampler.set_history(math.ceil(len(plan.taps) / plan.interpolation))
            chain.append(resampler)
        if plan.skipped:
            chain.append(blocks.skiphead(gr.sizeof_gr_complex, plan.skipped))
        if not chain:
            chain.append(blocks.copy(gr.sizeof_gr_complex))
        self.connect(self, *chain, self)
