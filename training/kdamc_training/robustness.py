# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""How trained networks bear offsets, other rates and other sets.

The record of ``kdamc-train robustness`` (``training/results/robustness/``) holds, besides
``command``, ``hardware``, ``versions`` and ``git_rev``, ``rows``, one a network:

- ``model`` (name), ``network``, and for a run of a recipe ``recipe``, ``budget``, ``member``,
  ``seed`` and ``train_frames``;
- ``data`` (see ``evaluate.describe_data``), ``test``: ``frames``, ``overall``, ``from_0_db``,
  ``by_snr`` on these frames as they are;
- ``sweeps``: by name ``unit``, ``frames`` (of all labels) and the lists ``at``, ``overall`` and
  ``from_0_db``;
- ``sets``: by name of the other set ``data``, ``classes`` (those that both have), ``frames`` of
  these classes, and ``overall`` and ``from_0_db``, which count the best of the shared classes, and
  ``overall_all`` and ``from_0_db_all``, which count the best of all that the network knows.

Accuracies are shares of 1, ``from_0_db`` those of the frames with an SNR label of at least 0, null
where there are none. The sweeps:

- ``carrier_offset``: the frames are turned by so many cycles a sample.
- ``timing_offset``: the signal is late by so many symbols (of the set's least samples a symbol).
- ``samples_per_symbol``: the signal is resampled to so many times its samples a symbol. Noise is
  resampled with it: the SNR within the signal's band stays, but noise of a rate raised no longer
  fills the whole band.

The last two need more signal than a frame has. Frames of the sets are scaled each for itself and
cannot be joined, so the generator makes frames of three times the length, from the file's seed and
speech, and the network is given what comes to lie in the middle: no sample wraps around, and at
offset 0 and ratio 1 the frame is the middle third as it was generated. For imported sets these
two are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import datasets as datasets
from .datasets import registry as generators
from .datasets.dataset_file import SNR_UNKNOWN, DataSetFile, DataSetInfo, rms_normalised
from .datasets.resampling import resample
from .errors import UserError
from .evaluate import describe_data
from .pipeline import RECORD, WORK, data_file, prepare_data
from .recipe import DataPart, DataSection, data_section
from .records import read_record
from .training_data import Part

CARRIER_OFFSETS = (0.0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
TIMING_OFFSETS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
RATE_RATIOS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
SWEEPS = ("carrier_offset", "timing_offset", "samples_per_symbol")

TIMES_LONGER = 3
"""Frames that the generator makes for offsets in time and other rates, in frame lengths."""

_BATCH = 512
_BLOCK_SAMPLES = 1 << 17
_READ_FRAMES = 1 << 14


@dataclass(frozen=True)
class Subject:
    """A trained network: frames ``(n, 2, L)`` float32 of RMS 1 to ``logits (n, classes)``."""

    name: str
    network: str
    classes: tuple[str, ...]
    frame_length: int
    run: Callable[[np.ndarray], np.ndarray]
    about: dict[str, Any] = field(default_factory=dict)

    def logits(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Logits of all frames of ``blocks``."""
        return np.concatenate(
            [
                self.run(frames[at : at + _BATCH])
                for frames in blocks
                for at in range(0, len(frames), _BATCH)
            ]
        )


@dataclass(frozen=True)
class Frames:
    """Frames in memory, ``x (n, 2, L)`` at any scale, class indices and SNR labels ``(n)``."""

    x: np.ndarray
    labels: np.ndarray
    snr: np.ndarray

    def thinned(self, most: int) -> Frames:
        """At most ``most`` of the frames, evenly spread over their order."""
        kept = np.unique(np.linspace(0, len(self.x) - 1, min(most, len(self.x))).astype(int))
        return Frames(self.x[kept], self.labels[kept], self.snr[kept])

    def blocks(
        self, change: Callable[[np.ndarray], np.ndarray] = lambda frames: frames
    ) -> Iterator[np.ndarray]:
        """All frames after ``change`` with RMS 1, in blocks."""
        step = _BATCH * max(1, _BLOCK_SAMPLES // (_BATCH * self.x.shape[2]))
        for at in range(0, len(self.x), step):
            yield rms_normalised(change(self.x[at : at + step].astype(np.float32)))


def shifted_carrier(frames: np.ndarray, offset: float) -> np.ndarray:
    """``frames (n, 2, L)`` turned by ``offset`` cycles a sample; unchanged at 0."""
    if offset == 0.0:
        return frames
    return _pairs(_signal(frames) * np.exp(2j * np.pi * offset * np.arange(frames.shape[2])))


def delayed(frames: np.ndarray, samples: float) -> np.ndarray:
    """``frames (n, 2, L)`` late by ``samples``, which may be a fraction; unchanged at 0.

    The spectrum's phase is turned, so what leaves at the end comes in at the start.
    """
    if samples == 0.0:
        return frames
    ramp = np.exp(-2j * np.pi * samples * np.fft.fftfreq(frames.shape[2]))
    return _pairs(np.fft.ifft(np.fft.fft(_signal(frames)) * ramp))


def resampled(frames: np.ndarray, ratio: float, length: int) -> np.ndarray:
    """The middle ``length`` samples of ``frames (n, 2, L)`` at ``ratio`` times the rate.

    ``L`` must hold ``length / ratio`` samples and the filter's margin on either side.
    """
    if ratio == 1.0:
        return middle(frames, length)
    signal = _signal(frames).astype(np.complex64)
    n, long = signal.shape
    # The middle of the frame stays where it was.
    positions = (long - 1) / 2 + (np.arange(length) - (length - 1) / 2) / ratio
    every = (long * np.arange(n)[:, None] + positions).ravel()
    return _pairs(resample(signal.ravel(), every, min(1.0, ratio)).reshape(n, length))


def middle(frames: np.ndarray, length: int) -> np.ndarray:
    """The middle ``length`` samples of ``frames (n, 2, L)``."""
    start = (frames.shape[2] - length) // 2
    return frames[:, :, start : start + length]


def _signal(frames: np.ndarray) -> np.ndarray:
    return frames[:, 0] + 1j * frames[:, 1].astype(np.float64)


def _pairs(signal: np.ndarray) -> np.ndarray:
    return np.stack([signal.real, signal.imag], axis=1).astype(np.float32)


def accuracies(called: np.ndarray, labels: np.ndarray, snr: np.ndarray) -> dict[str, Any]:
    """``overall`` and ``from_0_db`` of what frames ``(n)`` were called."""
    correct = called == labels
    loud = (snr >= 0) & (snr != SNR_UNKNOWN)
    return {
        "overall": float(correct.mean()),
        "from_0_db": float(correct[loud].mean()) if loud.any() else None,
    }


def sweep(
    subject: Subject,
    frames: Frames,
    unit: str,
    values: Sequence[float],
    change: Callable[[np.ndarray, float], np.ndarray],
) -> dict[str, Any]:
    """Accuracy on ``frames`` after ``change(frames, value)`` for each of ``values``."""
    found: dict[str, Any] = {
        "unit": unit,
        "frames": len(frames.x),
        "at": list(values),
        "overall": [],
        "from_0_db": [],
    }
    for value in values:
        logits = subject.logits(frames.blocks(lambda x, value=value: change(x, value)))
        for key, accuracy in accuracies(logits.argmax(axis=1), frames.labels, frames.snr).items():
            found[key].append(accuracy)
    return found


def measure(
    subject: Subject,
    data_path: Path,
    *,
    chosen: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
    sweeps: Sequence[str] = SWEEPS,
    most_frames: int = 0,
    long_frames: Frames | None = None,
) -> dict[str, Any]:
    """``data``, ``test`` and ``sweeps`` of a row, on the ``chosen`` frames of a data set file,
    of which ``classes`` count, if not all do.

    The first sweep takes at most ``most_frames`` of them, evenly spread; 0 takes all.
    ``long_frames`` are what the last two sweeps are measured on; without them they are left out.
    Raises UserError if the network's classes or frame length are not the data's.
    """
    with DataSetFile(data_path) as data:
        _check_length(subject, data)
        held = classes or data.info.classes
        if held != subject.classes:
            raise UserError(
                f"{subject.name} knows {', '.join(subject.classes)}; {data_path} holds "
                f"{', '.join(held)}; --sets measures on shared classes"
            )
        frames = _frames(data, chosen, classes)
        described, symbol = describe_data(data), data.info.samples_per_symbol[0]
    called = subject.logits(frames.blocks()).argmax(axis=1)
    by_snr = {
        str(label): float((called == frames.labels)[frames.snr == label].mean())
        for label in sorted(set(frames.snr.tolist()))
    }
    found: dict[str, Any] = {}
    if "carrier_offset" in sweeps:
        found["carrier_offset"] = sweep(
            subject,
            frames.thinned(most_frames) if most_frames else frames,
            "cycles a sample",
            CARRIER_OFFSETS,
            shifted_carrier,
        )
    length = subject.frame_length
    if "timing_offset" in sweeps and long_frames is not None:
        found["timing_offset"] = sweep(
            subject,
            long_frames,
            f"symbols of {symbol:g} samples",
            TIMING_OFFSETS,
            lambda x, symbols: middle(delayed(x, symbols * symbol), length),
        )
    if "samples_per_symbol" in sweeps and long_frames is not None:
        found["samples_per_symbol"] = sweep(
            subject,
            long_frames,
            "times the set's samples a symbol",
            RATE_RATIOS,
            lambda x, ratio: resampled(x, ratio, length),
        )
    return {
        "data": described,
        "test": {
            "frames": len(frames.x),
            **accuracies(called, frames.labels, frames.snr),
            "by_snr": by_snr,
        },
        "sweeps": found,
    }


def measure_on_other(subject: Subject, data_path: Path) -> dict[str, Any]:
    """An entry of ``sets``: accuracy on the frames whose class the network knows, by name.

    Raises UserError if there are none or the frames have another length.
    """
    with DataSetFile(data_path) as data:
        _check_length(subject, data)
        shared = [name for name in subject.classes if name in data.info.classes]
        index = [data.info.classes.index(name) for name in shared]
        chosen = np.flatnonzero(np.isin(data.y[:], index))
        if not len(chosen):
            raise UserError(f"{subject.name} knows none of the classes of {data_path}")
        frames, described = _frames(data, chosen), describe_data(data)
    known = np.array([subject.classes.index(name) for name in shared])
    place = {number: here for here, number in enumerate(index)}
    labels = np.array([place[number] for number in frames.labels.tolist()])
    logits = subject.logits(frames.blocks())
    limited = accuracies(logits[:, known].argmax(axis=1), labels, frames.snr)
    free = accuracies(logits.argmax(axis=1), known[labels], frames.snr)
    return {
        "data": described,
        "classes": shared,
        "frames": len(chosen),
        **limited,
        **{f"{key}_all": value for key, value in free.items()},
    }


def make_long_frames(
    info: DataSetInfo,
    snr_labels: Sequence[int],
    frames_per_cell: int,
    classes: Sequence[str] = (),
) -> Frames | None:
    """Frames ``TIMES_LONGER`` times as long as the set's, by its generator, seed and speech, of
    ``classes`` alone, if they are not all of the set's.

    None if no generator of this version made the set.
    """
    name, _, version = info.generator.partition(" ")
    if name not in generators.names() or generators.create(name).version != version:
        return None
    generator = generators.create(name)
    generator.frame_length *= TIMES_LONGER
    pieces, labels, snr = [], [], []
    wanted = info.options.get("classes", info.classes)
    for number, name in enumerate(classes or info.classes):
        if name not in wanted:
            continue
        for label in snr_labels:
            index = info.classes.index(name)
            cell = generator.cell(index, label, frames_per_cell, info.seed, info.speech, 0)
            pieces.append(cell.frames)
            labels.append(np.full(frames_per_cell, number))
            snr.append(np.full(frames_per_cell, label))
    return Frames(np.concatenate(pieces), np.concatenate(labels), np.concatenate(snr))


def open_subject(path: Path) -> Subject:
    """The network of a run's folder, of published weights or of an ONNX file; raises UserError if
    it is none of these."""
    if _has_record(path):
        return _of_run(path)
    from .onnx_models import open_model

    model = open_model(str(path))
    return Subject(
        model.name,
        model.info.architecture,
        model.classes,
        model.input_size,
        lambda frames: model.run(frames).logits,
    )


def _has_record(target: Path) -> bool:
    from .checkpoints import SUFFIX

    return target.is_dir() or target.suffix == SUFFIX


def _of_run(path: Path) -> Subject:
    import torch

    from . import checkpoints

    if path.is_dir():
        module, about = checkpoints.open_run(path)
    else:
        module, about = checkpoints.load(path)[0], checkpoints.record_of(path)
    said = {key: about[key] for key in ("recipe", "budget", "member", "seed", "train_frames")}

    def run(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(frames)).float().numpy()

    return Subject(
        "{recipe} {budget} {member} seed {seed}".format(**said),
        module.hparams.network,
        tuple(module.hparams.classes),
        module.hparams.frame_length,
        run,
        said,
    )


def record(
    targets: Sequence[Path],
    command: str,
    *,
    data_path: Path | None = None,
    sets: Sequence[str] = (),
    sweeps: Sequence[str] = SWEEPS,
    most_frames: int = 0,
    frames_per_cell: int = 50,
    work: Path = WORK,
    jobs: int = 1,
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """The record of ``targets``: run folders, published weights and ONNX files.

    A run is measured on the test part of its recipe, which is generated under ``work`` if it is
    not there; ``data_path`` takes its place, and ONNX files need it. ``sets`` are data set files or
    names of generators; these make a set of the size, seed and speech of the test part.
    ``most_frames`` (0: all of the test part) is for the first sweep, ``frames_per_cell`` for the
    frames made for the last two. ``tell`` is called with each row.
    """
    from .export import git_revision
    from .pipeline import surroundings

    for name in sweeps:
        if name not in SWEEPS:
            raise UserError(f"no sweep {name!r}; known: {', '.join(SWEEPS)}")
    if most_frames < 0 or frames_per_cell < 1:
        raise UserError("most-frames must be at least 0, frames-per-cell at least 1")
    revision = git_revision()
    rows: list[dict[str, Any]] = []
    long_frames: dict[tuple[Path, tuple[str, ...]], Frames | None] = {}
    for target in targets:
        subject = open_subject(target)
        part = _test_part(target, data_path, work, jobs)
        with DataSetFile(part.path) as data:
            info = data.info
            labels = sorted(set(data.z[:].astype(int).tolist()))
        key = (part.path, part.classes)
        if key not in long_frames and set(sweeps) - {"carrier_offset"}:
            long_frames.clear()  # the targets of one set follow one another; memory is for one
            long_frames[key] = make_long_frames(info, labels, frames_per_cell, part.classes)
        row = {"model": subject.name, "network": subject.network, **subject.about}
        row |= measure(
            subject,
            part.path,
            chosen=part.chosen,
            classes=part.classes,
            sweeps=sweeps,
            most_frames=most_frames,
            long_frames=long_frames.get(key),
        )
        row["sets"] = {
            name: measure_on_other(subject, _other(name, info, work, jobs)) for name in sets
        }
        rows.append(row)
        tell(row)
    return {"command": command, "rows": rows, **surroundings(), "git_rev": revision}


def _test_part(target: Path, data_path: Path | None, work: Path, jobs: int) -> Part:
    """The frames to measure a target on."""
    if data_path is not None:
        return _all_of(data_path)
    if not _has_record(target):
        raise UserError(f"{target}: an ONNX file needs --data")
    from .checkpoints import record_of

    about = read_record(target / RECORD) if target.is_dir() else record_of(target)
    data = data_section(about["settings"]["data"])
    if data.file:
        return prepare_data(data, work / "data", jobs).test
    return _all_of(data_file(work / "data", data, data.test, jobs)).without(data.without)


def _all_of(path: Path) -> Part:
    with DataSetFile(path) as data:
        return Part(path, np.arange(len(data)))


def _other(name: str, info: DataSetInfo, work: Path, jobs: int) -> Path:
    """The data set file of another set, made like the one that ``info`` is of."""
    if name.endswith(".h5"):
        return Path(name)
    if "frames_per_cell" not in info.options:
        raise UserError(f"{name}: give a file, as the set in use was not generated")
    part = DataPart(info.options["frames_per_cell"], info.seed, info.speech)
    data = DataSection(generator=name, snr=info.options.get("snr", []), test=part)
    return data_file(work / "data", data, part, jobs)


def _frames(data: DataSetFile, chosen: np.ndarray | None, classes: tuple[str, ...] = ()) -> Frames:
    if chosen is None:
        chosen = np.arange(len(data))
    x = np.empty((len(chosen), *data.x.shape[1:]), data.x.dtype)
    for start in range(0, len(data), _READ_FRAMES):
        low, high = np.searchsorted(chosen, [start, start + _READ_FRAMES])
        if low < high:
            x[low:high] = data.x[start : start + _READ_FRAMES][chosen[low:high] - start]
    return Frames(x, *Part(data.path, chosen, classes).labels())


def _check_length(subject: Subject, data: DataSetFile) -> None:
    if data.frame_length != subject.frame_length:
        raise UserError(
            f"{subject.name} takes frames of {subject.frame_length} samples; {data.path} has "
            f"{data.frame_length}"
        )
