# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a data set file from a generator: all cells, in parallel, with a progress bar."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import own_files
from ..errors import UserError
from . import kept_cells, registry
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


def _keep_cell(work: tuple[CellRequest, Path]) -> int:
    """Make a cell and keep it in a file; returns its number of frames."""
    request, path = work
    kept_cells.write(path, _make_cell(request))
    return request.frames


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when the parent was killed (a pool would wait on)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _with_modules(modules: Sequence[str], do: Callable, work: Any) -> Any:
    """``do(work)`` in a new process, which does not know the generators of the user's ``modules``.

    Not at the start of the process: what is raised there is told to nobody, and the pool starts
    the next one.
    """
    for name in modules:
        importlib.import_module(name)
    return do(work)


@contextmanager
def _in_processes(do: Callable, work: Sequence, jobs: int) -> Iterator[Iterator]:
    """Gives the results of ``do`` for each of ``work``, in order, made by ``jobs`` processes."""
    if jobs == 1:
        yield map(do, work)
        return
    # Fresh processes: GNU Radio's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, _start_worker, (os.getpid(),)) as pool:
        yield pool.imap(functools.partial(_with_modules, own_files.imported, do), work)


@contextmanager
def cells(requests: list[CellRequest], jobs: int) -> Iterator[Iterator[registry.Cell]]:
    """Gives the cells asked for, in order, made by ``jobs`` processes."""
    with _in_processes(_make_cell, requests, jobs) as made:
        yield made


def generate(
    name: str,
    path: str | os.PathLike,
    *,
    frames_per_cell: int,
    seed: int,
    split: str = "train",
    run_length: int = 0,
    classes: Sequence[str] | None = None,
    snr: tuple[int, int] | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> int:
    """Write the set ``name`` to ``path``; returns the number of frames.

    The bytes depend on every argument but ``jobs`` and ``progress`` (and on the versions of GNU
    Radio, NumPy and espeak-ng). Cells are written class by class, SNR labels rising; ``classes``
    limits them to some classes (the file still lists all, so that an index means the same), ``snr``
    (lowest, highest) to some SNR labels; a cell is the same with and without such limits.
    Finished cells are kept beside ``path`` until the file is complete: a run that was killed goes
    on where it was. Raises UserError for a name, split, class or number that cannot be used, and
    for a disk that is full or read-only.
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
    for wanted in classes or ():
        if wanted not in generator.classes:
            raise UserError(f"no class {wanted!r} in {name}; known: {', '.join(generator.classes)}")
    low, high = snr or (generator.snr_labels[0], generator.snr_labels[-1])
    snr_labels = [label for label in generator.snr_labels if low <= label <= high]
    if not snr_labels:
        raise UserError(
            f"snr {low}:{high} holds no SNR label of {name}, which has "
            f"{generator.snr_labels[0]} to {generator.snr_labels[-1]}"
        )
    requests = [
        CellRequest(name, class_index, snr_label, frames_per_cell, seed, split, run_length)
        for class_index, class_name in enumerate(generator.classes)
        if not classes or class_name in classes
        for snr_label in snr_labels
    ]
    options: dict = {"frames_per_cell": frames_per_cell, "run_length": run_length}
    if classes:
        options["classes"] = sorted(set(classes))
    if snr:
        options["snr"] = [low, high]
    info = DataSetInfo(
        classes=generator.classes,
        sample_rate=generator.sample_rate,
        samples_per_symbol=generator.samples_per_symbol,
        generator=f"{name} {generator.version}",
        seed=seed,
        created=generator.date,
        speech=split,
        options=options,
    )
    try:
        with kept_cells.folder(path, [asdict(info), np.__version__]) as folder:
            files = [folder / f"{r.class_index}_{r.snr_label}.npz" for r in requests]
            _make_missing(name, requests, files, jobs, progress)
            _assemble(path, generator, info, requests, files)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be written ({reason})") from error
    return frames_per_cell * len(requests)


def _make_missing(
    name: str, requests: list[CellRequest], files: list[Path], jobs: int, progress: bool
) -> None:
    """Make and keep the cells that no earlier run has kept."""
    work = [pair for pair in zip(requests, files, strict=True) if not pair[1].is_file()]
    with (
        _progress_bar(name, sum(request.frames for request in requests), progress) as advance,
        _in_processes(_keep_cell, work, jobs) as made,
    ):
        advance(sum(request.frames for request in requests) - sum(r.frames for r, _ in work))
        for frames in made:
            advance(frames)


def _assemble(
    path: str | os.PathLike,
    generator: registry.Generator,
    info: DataSetInfo,
    requests: list[CellRequest],
    files: list[Path],
) -> None:
    """Write the data set file from the kept cells."""
    frames = sum(request.frames for request in requests)
    next_pass = 0
    with DataSetWriter(
        path, info, frames, generator.frame_length, generator.dtype, generator.draw_types
    ) as writer:
        for request, file in zip(requests, files, strict=True):
            cell = kept_cells.read(file)
            writer.append(
                cell.frames,
                np.full(request.frames, request.class_index, np.uint8),
                np.full(request.frames, request.snr_label, np.int8),
                cell.pass_number + np.uint32(next_pass),
                cell.draws,
            )
            next_pass += int(cell.pass_number[-1]) + 1


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
