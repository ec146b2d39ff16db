# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts frames from one's own recordings: SigMF, labelled by its annotations."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ..errors import UserError
from .dataset_file import SNR_UNKNOWN, DataSetInfo, DataSetWriter

if TYPE_CHECKING:
    from gnuradio.kdamc.receiver.sigmf_reader import SigmfRecording

SNR_KEYS = ("kdamc:snr_db", "capture_details:SNRdB")
"""Where an annotation may tell its SNR (dB): our own namespace, then SigMF's capture_details."""

_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Cutting:
    """How frames are cut; see ``import_sigmf``.

    ``hop`` is the number of samples between frame starts. ``names`` maps the recordings' labels to
    class names, or to None for what shall be left out.
    """

    frame_length: int
    hop: int
    classes: Sequence[str] = ()
    names: Mapping[str, str | None] | None = None
    centre: bool = False
    samples_per_symbol: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Stretch:
    """Samples of one annotation within one capture: what frames may be cut from.

    ``start`` and ``count`` in samples of the file, ``shift`` in cycles a sample, ``width`` the
    annotated bandwidth over the sample rate (0: not told).
    """

    name: str
    start: int
    count: int
    snr: int
    shift: float
    width: float


def read_names(path: str | os.PathLike) -> dict[str, str | None]:
    """Class names by label, from a YAML mapping; null leaves a label out.

    Raises UserError if the file is anything else.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not all(
        isinstance(label, str) and (name is None or isinstance(name, str))
        for label, name in content.items()
    ):
        raise UserError(f"{path}: not a mapping of labels to class names (quote numbers)")
    return content


def import_sigmf(
    sources: Sequence[str | os.PathLike], out: str | os.PathLike, cutting: Cutting
) -> int:
    """Write frames of annotated recordings to a data set file; returns their number.

    Frames lie wholly within one annotation and one capture. Their class is ``core:label``, by way
    of ``cutting.names``; annotations without a label, or whose name is not among
    ``cutting.classes`` where those are given, are left out, and so are frames that are all zeros.
    Z is the annotation's SNR rounded to whole dB, or SNR_UNKNOWN. ``pass_id`` is the number of the
    recording, so that no split parts a recording. With ``cutting.centre`` the middle of the
    annotated band is shifted to 0 Hz. Integers are scaled to full scale 1 as the receiver does;
    nothing is filtered or resampled. Memory: some tens of MB.
    Raises UserError if a recording is not valid, is not complex, has another sample rate than the
    first, or if no frame is left.
    """
    if cutting.frame_length < 1 or cutting.hop < 1:
        raise UserError("frame length and hop must be at least 1")
    recordings = [_open(Path(source)) for source in sources]
    rate = recordings[0].segments[0].sample_rate
    stretches = []
    for recording in recordings:
        if recording.segments[0].sample_rate != rate:
            raise UserError(
                f"{recording.meta_path}: sampled at {recording.segments[0].sample_rate:g} Hz, "
                f"{recordings[0].meta_path} at {rate:g} Hz; a data set has one rate"
            )
        stretches.append(list(_stretches(recording, cutting)))
    flat = [stretch for of_one in stretches for stretch in of_one]
    if not flat:
        raise UserError(
            f"{recordings[0].meta_path}: no annotation with a wanted label is as long as "
            f"{cutting.frame_length} samples"
        )
    classes = tuple(cutting.classes) or tuple(sorted({stretch.name for stretch in flat}))
    if len(classes) > 256:
        raise UserError(f"{len(classes)} classes are more than a data set file can number")
    info = DataSetInfo(
        classes=classes,
        sample_rate=rate,
        samples_per_symbol=_samples_per_symbol(flat, cutting),
        generator="SigMF recordings",
        seed=-1,
        created="",
        options={
            "recordings": [recording.meta_path.name for recording in recordings],
            "hop": cutting.hop,
            "centre": cutting.centre,
        },
    )
    work = [
        (number, recording, stretch)
        for number, recording in enumerate(recordings)
        for stretch in stretches[number]
    ]
    # The file's size comes before its frames, so frames of zeros are counted first.
    frames = sum(len(x) for _, recording, one in work for x in _frames(recording, one, cutting))
    if not frames:
        raise UserError("the annotated parts of all recordings are zeros")
    with DataSetWriter(out, info, frames, cutting.frame_length) as writer:
        for number, recording, stretch in work:
            for x in _frames(recording, stretch, cutting):
                writer.append(
                    x,
                    np.full(len(x), classes.index(stretch.name), np.uint8),
                    np.full(len(x), stretch.snr, np.int8),
                    np.full(len(x), number, np.uint32),
                )
    return frames


def _open(path: Path) -> SigmfRecording:
    """The recording, checked by the receiver's own reader (schema, size, checksum)."""
    from gnuradio.kdamc.receiver.errors import InputError
    from gnuradio.kdamc.receiver.sigmf_reader import open_sigmf

    try:
        recording = open_sigmf(path)
    except InputError as error:
        raise UserError(str(error)) from error
    if not recording.format.is_complex:
        raise UserError(f"{path}: holds real samples; frames need I and Q")
    return recording


def _stretches(recording: SigmfRecording, cutting: Cutting) -> Iterator[_Stretch]:
    """What may be cut from a recording, annotation by annotation."""
    names = cutting.names or {}
    for annotation in recording.metadata["annotations"]:
        label = annotation.get("core:label")
        name = names.get(label, label)
        if not name or (cutting.classes and name not in cutting.classes):
            continue
        start = annotation["core:sample_start"] - recording.offset
        where = f"{recording.meta_path}: annotation at sample {annotation['core:sample_start']}"
        snr = _snr(annotation, where)
        for segment in recording.segments:
            # Without a count an annotation goes to the end of its capture.
            end = segment.start + segment.count
            if "core:sample_count" in annotation:
                end = min(end, start + annotation["core:sample_count"])
            elif not segment.start <= start < end:
                continue
            first = max(start, segment.start)
            if end - first < cutting.frame_length:
                continue
            shift, width = _band(annotation, segment, cutting.centre, where)
            yield _Stretch(name, first, end - first, snr, shift, width)


def _snr(annotation: dict[str, Any], where: str) -> int:
    for key in SNR_KEYS:
        value = annotation.get(key)
        if value is None:
            continue
        number = isinstance(value, int | float) and math.isfinite(value)
        if not number or not -128 <= round(value) < SNR_UNKNOWN:
            raise UserError(f"{where}: {key} is {value!r}, no SNR in dB")
        return round(value)
    return SNR_UNKNOWN


def _band(
    annotation: dict[str, Any], segment: Any, centre: bool, where: str
) -> tuple[float, float]:
    """Shift and width of an annotation, as in ``_Stretch``."""
    lower = annotation.get("core:freq_lower_edge")
    upper = annotation.get("core:freq_upper_edge")
    if lower is None or upper is None:
        if centre:
            raise UserError(f"{where}: has no frequency edges to centre by")
        return 0.0, 0.0
    rate = segment.sample_rate
    # Where the capture has no frequency, its edges are relative to 0 Hz, and so is freq_hz.
    shift = ((lower + upper) / 2 - segment.freq_hz) / rate
    if upper < lower or (centre and abs(shift) > 0.5):
        raise UserError(f"{where}: its frequency edges do not lie in the recorded band")
    return (shift if centre else 0.0), (upper - lower) / rate


def _samples_per_symbol(stretches: list[_Stretch], cutting: Cutting) -> tuple[float, float]:
    """As given, or else sample rate over annotated bandwidth: the lowest and the highest."""
    if cutting.samples_per_symbol:
        return cutting.samples_per_symbol
    widths = [stretch.width for stretch in stretches]
    if not min(widths) > 0:
        raise UserError(
            "an annotation has no frequency edges, so the samples a symbol are not known: "
            "give them by --samples-per-symbol LOW:HIGH"
        )
    return max(1.0, 1 / max(widths)), max(1.0, 1 / min(widths))


def _frames(recording: SigmfRecording, stretch: _Stretch, cutting: Cutting) -> Iterator[np.ndarray]:
    """The frames of a stretch that are not all zeros, some at a time: ``(m, 2, L)`` float32."""
    length, hop = cutting.frame_length, cutting.hop
    count = (stretch.count - length) // hop + 1
    at_once = max(1, (_BLOCK_SAMPLES - length) // max(hop, length) + 1)
    for first in range(0, count, at_once):
        starts = hop * np.arange(first, min(count, first + at_once))
        begin = int(starts[0])
        samples = _samples(recording, stretch.start + begin, int(starts[-1]) - begin + length)
        if not np.isfinite(samples).all():
            raise UserError(
                f"{recording.data_path}: a sample after {stretch.start + begin} is not finite"
            )
        if stretch.shift:
            turns = stretch.shift * np.arange(begin, begin + len(samples))
            samples = samples * np.exp(-2j * math.pi * (turns % 1.0))
        frames = samples[starts[:, None] - begin + np.arange(length)]
        frames = frames[np.any(frames != 0, axis=1)]
        yield np.stack([frames.real, frames.imag], axis=1).astype(np.float32)


def _samples(recording: SigmfRecording, start: int, count: int) -> np.ndarray:
    """``count`` samples from ``start`` of the data file, complex64, full scale 1."""
    form = recording.format
    kind = {"f32": "f4", "i16": "i2", "i8": "i1", "u8": "u1"}[form.scalar]
    with recording.data_path.open("rb") as file:
        file.seek(recording.header_bytes + start * form.sample_bytes)
        data = file.read(count * form.sample_bytes)
    values = np.frombuffer(data, (">" if form.big_endian else "<") + kind).astype(np.float32)
    if form.scalar == "u8":
        values = (values - 127.5) / 128
    elif form.scalar != "f32":
        values /= {"i16": 32768, "i8": 128}[form.scalar]
    return values.view(np.complex64)
