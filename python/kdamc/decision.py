# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the logits of frames to decisions: fusion over time, unknown, SNR."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .accuracy import log_softmax
from .contract import UNKNOWN_LABEL, Fusion, ModelInfo
from .kdamc_python import snr_db as snr_of
from .kdamc_python import sum_frames
from .model import Model


@dataclass(frozen=True)
class Segment:
    """A run of samples over which a decision may extend: one frequency, rate and clock.

    ``freq_hz`` and ``sample_rate`` in Hz; ``time`` is (whole seconds, fraction) at the absolute
    sample ``time_at``, or ``None`` when nobody said what time it is; ``bandwidth_hz`` and
    ``symbol_rate_hz`` are the signal's, where somebody estimated them.
    """

    freq_hz: float = 0.0
    sample_rate: float = 1.0
    time: tuple[int, float] | None = None
    time_at: int = 0
    bandwidth_hz: float | None = None
    symbol_rate_hz: float | None = None

    def time_of(self, sample: int) -> tuple[int, float] | None:
        """(whole seconds, fraction) at an absolute sample."""
        if self.time is None:
            return None
        whole, part = divmod((sample - self.time_at) / self.sample_rate + self.time[1], 1.0)
        return self.time[0] + int(whole), part


@dataclass(frozen=True)
class Decision:
    """What is on the air, from ``frames_used`` frames of one segment.

    ``label`` is a class or ``unknown``; ``confidence`` the largest fused posterior; ``entropy``
    in nats; ``snr_db`` (whole sampled band) is ``None`` where no estimate holds;
    ``sample_start`` and ``sample_count`` are absolute samples of the block's input;
    ``rx_time`` is (whole seconds, fraction) of the first sample or ``None``; ``posterior``
    (classes,) float32.  ``frames_gated`` counts frames withheld (gate, silence, non-finite) and
    ``frames_dropped`` frames lost to a full queue since the previous decision; ``bandwidth_hz``
    and ``symbol_rate_hz`` are ``None`` where nobody estimated them, ``unknown_score`` (mean of the
    frames') where the model gives none.  ``log_sum`` (classes,) float64 sums the frames' log
    posteriors, for who fuses decisions; it does not travel with messages.
    """

    label: str
    confidence: float
    entropy: float
    snr_db: float | None
    sample_start: int
    sample_count: int
    rx_time: tuple[int, float] | None
    freq_hz: float
    sample_rate: float
    model: str
    posterior: np.ndarray
    frames_used: int
    frames_gated: int
    frames_dropped: int
    bandwidth_hz: float | None = None
    symbol_rate_hz: float | None = None
    unknown_score: float | None = None
    log_sum: np.ndarray | None = None

    @property
    def time(self) -> float | None:
        """``rx_time`` in seconds."""
        return None if self.rx_time is None else self.rx_time[0] + self.rx_time[1]


@dataclass
class DecisionSettings:
    """How frames become decisions; read anew for every decision, so it may change at any time.

    A decision ends after ``decision_frames`` frames or ``decision_interval`` seconds (0: no
    limit in time).  ``unknown_threshold``: see :func:`is_unknown`.
    """

    decision_frames: int = 64
    decision_interval: float = 1.0
    unknown_threshold: float | None = None


#: Without a threshold from model or user, a label must be likelier than everything else.
DEFAULT_CONFIDENCE = 0.5


def fuse(log_sum: np.ndarray, frames: int, fusion: Fusion) -> np.ndarray:
    """Log posteriors of runs of n frames each, from the sums of their frames' log posteriors.

    ``log_sum (..., classes)``; float64 of the same shape.  Independent frames would multiply.
    Those of one run share noise colour, fading and content, so the sum is tempered:
    f = softmax(sum / n**g), with g from 0 (independent) to 1 (no frame adds anything).  How much
    frames share depends on what they say: noise is new in every frame, an error of the network at
    a high SNR is not.  So g lies between ``fusion.exponent``, for m = softmax(sum / n) with all
    classes alike, and ``fusion.exponent_sure``, for m with one class alone, and moves with the
    largest posterior of m.  And in a share of the runs more frames add nothing: the posterior is
    (1 - w) f + w m with w = ``fusion.mean_share`` (1 - 1 / n).  One frame is left as it is, and the
    order of the classes never changes.  Our own formula, fitted on held-out runs; equal prior
    probabilities.
    """
    classes = np.shape(log_sum)[-1]
    mean = log_softmax(log_sum / frames)
    sure = (classes * np.exp(mean.max(axis=-1, keepdims=True)) - 1.0) / (classes - 1.0)
    exponent = fusion.exponent + (fusion.exponent_sure - fusion.exponent) * sure
    tempered = log_softmax(log_sum / frames**exponent)
    share = fusion.mean_share * (1.0 - 1.0 / frames)
    if share == 0.0:
        return tempered
    return np.logaddexp(np.log1p(-share) + tempered, np.log(share) + mean)


def is_unknown(
    info: ModelInfo, threshold: float | None, confidence: float, score: float | None
) -> bool:
    """Whether no class of a model deserves to be the label.

    None does where the model's ``score`` (``None``: it gives none) is over its own threshold, or
    where ``confidence`` is under ``threshold``.  The latter ``None`` stands for the model's own, if
    that is no score's, else ``DEFAULT_CONFIDENCE``; at 0 nothing is unknown.
    """
    if threshold == 0:
        return False
    own = info.unknown_threshold
    if score is not None and own is not None and score > own:
        return True
    if threshold is None:
        threshold = DEFAULT_CONFIDENCE if score is not None or own is None else own
    return confidence < threshold


@dataclass
class _Open:
    """The decision under way: sums over its frames."""

    first: int
    log_posteriors: np.ndarray
    last: int = 0
    used: int = 0
    power: float = 0.0
    noise_power: float = 0.0
    noise_frames: int = 0
    snr_db: float | None = None
    unknown_score: float | None = None


@dataclass
class DecisionMaker:
    """Fuses classified frames of one stream, in their order, into decisions.

    One object a stream and model; not thread-safe.
    """

    model: Model
    settings: DecisionSettings
    _open: _Open | None = None
    _segment: Segment = field(default_factory=Segment)
    _gated: int = 0
    _dropped: int = 0

    @property
    def open_since(self) -> int | None:
        """First sample of the decision under way, if there is one."""
        return None if self._open is None else self._open.first

    def withheld(self, frames: int) -> list[Decision]:
        """``frames`` frames were not fit for the network: a gate that closes ends a decision."""
        done = self.close()
        self._gated += frames
        return done

    def dropped(self, frames: int) -> None:
        """``frames`` frames were lost before they were classified."""
        self._dropped += frames

    def feed(
        self,
        segment: Segment,
        start: np.ndarray,
        logits: np.ndarray,
        power: np.ndarray,
        noise_power: np.ndarray,
        snr_db: np.ndarray | None = None,
        unknown_score: np.ndarray | None = None,
    ) -> list[Decision]:
        """Add consecutive frames of one segment; return the decisions that they complete.

        ``start`` (n,) absolute samples; ``logits`` (n, classes) float32; ``power`` and
        ``noise_power`` (n,), the latter NaN where there is no estimate; ``snr_db`` and
        ``unknown_score`` (n,) if the model has them.
        """
        done: list[Decision] = []
        if segment is not self._segment:
            done += self.close()
            self._segment = segment
        info = self.model.info
        scale = 1.0 / info.temperature
        frames = max(1, self.settings.decision_frames)
        seconds = self.settings.decision_interval
        span = max(1, round(min(seconds * segment.sample_rate, 2**62))) if seconds > 0 else None
        at, n = 0, len(start)
        while at < n:
            if self._open is None:
                self._open = _Open(int(start[at]), np.zeros(len(info.classes)))
            now = self._open
            stop = min(n, at + frames - now.used)
            if span is not None:
                stop = min(stop, int(np.searchsorted(start, np.uint64(now.first + span))))
            stop = max(at, stop)
            if stop > at:
                part = slice(at, stop)
                now.used += stop - at
                now.last = int(start[stop - 1])
                signal, noise, known = sum_frames(
                    logits[part], scale, power[part], noise_power[part], now.log_posteriors
                )
                now.power += signal
                now.noise_power += noise
                now.noise_frames += known
                if snr_db is not None:
                    now.snr_db = (now.snr_db or 0.0) + float(snr_db[part].sum())
                if unknown_score is not None:
                    now.unknown_score = (now.unknown_score or 0.0) + float(
                        unknown_score[part].sum()
                    )
            if stop < n or now.used >= frames:
                done += self.close()
            at = stop
        return done

    def close(self) -> list[Decision]:
        """End the decision under way, if there is one."""
        now, self._open = self._open, None
        if now is None or now.used == 0:
            return []
        info, segment, used = self.model.info, self._segment, now.used
        if not np.isfinite(now.log_posteriors).all():
            # A network that gives no numbers says nothing: every class is as likely.
            now.log_posteriors = np.zeros_like(now.log_posteriors)
        posterior = np.exp(fuse(now.log_posteriors, used, info.fusion))
        best = int(posterior.argmax())
        confidence = float(posterior[best])
        score = None if now.unknown_score is None else now.unknown_score / used
        unknown = is_unknown(info, self.settings.unknown_threshold, confidence, score)
        decision = Decision(
            label=UNKNOWN_LABEL if unknown else info.classes[best],
            confidence=confidence,
            entropy=float(-(posterior * np.log(np.maximum(posterior, 1e-300))).sum()),
            snr_db=self._snr(now),
            sample_start=now.first,
            sample_count=now.last + info.input_size - now.first,
            rx_time=segment.time_of(now.first),
            freq_hz=segment.freq_hz,
            sample_rate=segment.sample_rate,
            model=self.model.name,
            posterior=posterior.astype(np.float32),
            frames_used=used,
            frames_gated=self._gated,
            frames_dropped=self._dropped,
            bandwidth_hz=segment.bandwidth_hz,
            symbol_rate_hz=segment.symbol_rate_hz,
            unknown_score=score,
            log_sum=now.log_posteriors,
        )
        self._gated = self._dropped = 0
        return [decision]

    def _snr(self, now: _Open) -> float | None:
        """The model's own estimate, else the kernel's where it holds for half of the frames."""
        if now.snr_db is not None:
            return now.snr_db / now.used
        k = now.noise_frames
        if 2 * k < now.used:
            return None
        # Overlapping frames tell no more than the samples that they share.
        length = self.model.input_size
        samples = min(k * length, now.last + length - now.first)
        snr = snr_of(now.power / k, now.noise_power / k, samples)
        return snr if np.isfinite(snr) else None
