# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a data set file from a generator: all cells, in parallel, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from . import registry
from .dataset_file import DataSetInfo, DataSetWriter


@dataclass(frozen=True)
class CellRequest:
    """The arguments of one cell, as they go to the process that makes it."""

    generator: str
    class_index: int
    snr_label: int
    frames: int
    seed: int
    split: str
    run_length: int


def _make_cell(request: CellRequest) -> registry.Cell:
    return registry.create(request.generator).cell(
        request.class_index,
        request.snr_label,
        request.frames,
        request.seed,
        request.split,
        request.run_length,
    )


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def cells(requests: list[CellRequest], jobs: int) -> Iterator[Iterator[registry.Cell]]:
    """Gives the cells asked for, in order, made by ``jobs`` processes."""
    if jobs == 1:
        yield map(_make_cell, requests)
        return
    # Fresh processes: GNU Radio's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(jobs, _leave_interrupts_to_parent) as pool:
        yield pool.imap(_make_cell, requests)


def generate(
    name: str,
    path: str | os.PathLike,
    *,
    frames_per_cell: int,
    seed: int,
    split: str = "train",
    run_length: int = 0,
    jobs: int = 1,
    progress: bool = True,
) -> int:
    """Write the set ``name`` to ``path``; returns the number of frames.

    The bytes depend on every argument but ``jobs`` and ``progress`` (and on the versions of GNU
    Radio, NumPy and espeak-ng). Cells are written class by class, SNR labels rising.
    Raises UserError for a name, split or number that cannot be used.
    """
    generator = registry.create(name)
    for label, value, least in (
        ("frames-per-cell", frames_per_cell, 1),
        ("seed", seed, 0),
        ("run-length", run_length, 0),
        ("jobs", jobs, 1),
    ):
        if value < least:
            raise UserError(f"{label} is {value}; it must be at least {least}")
    if run_length > 128:
        raise UserError(f"run-length is {run_length}; a pass is long enough for 128")
    if split not in generator.splits:
        raise UserError(f"speech {split!r} is not one of {', '.join(generator.splits)}")
    requests = [
        CellRequest(name, class_index, snr_label, frames_per_cell, seed, split, run_length)
        for class_index in range(len(generator.classes))
        for snr_label in generator.snr_labels
    ]
    info = DataSetInfo(
        classes=generator.classes,
        sample_rate=generator.sample_rate,
        samples_per_symbol=generator.samples_per_symbol,
        generator=f"{name} {generator.version}",
        seed=seed,
        created=generator.date,
        speech=split,
        options={"frames_per_cell": frames_per_cell, "run_length": run_length},
    )
    frames = frames_per_cell * len(requests)
    next_pass = 0
    with (
        DataSetWriter(path, info, frames, generator.frame_length) as writer,
        cells(requests, jobs) as made,
        _progress_bar(name, frames, progress) as advance,
    ):
        for request, cell in zip(requests, made, strict=True):
            writer.append(
                cell.frames,
                np.full(frames_per_cell, request.class_index, np.uint8),
                np.full(frames_per_cell, request.snr_label, np.int8),
                cell.pass_number + np.uint32(next_pass),
            )
            next_pass += int(cell.pass_number[-1]) + 1
            advance(frames_per_cell)
    return frames


@contextmanager
def _progress_bar(label: str, total: int, show: bool):
    """Gives a function that advances the bar by a number of frames."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not show
    ) as bar:
        task = bar.add_task(label, total=total)
        yield lambda frames: bar.advance(task, frames)
