# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the genuine RadioML sets of 2016: pickles of frames by (class, SNR label)."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from ..errors import UserError
from .dataset_file import DataSetWriter
from .genuine import SETS, Part, describe, tell_pickled_set
from .restricted_pickle import load_arrays

_log = logging.getLogger(__name__)


def import_pickle(
    source: str | os.PathLike, out: str | os.PathLike, part: Part, name: str = ""
) -> tuple[str, int]:
    """Write the frames of a genuine file to a data set file; returns the set's name and the count.

    ``name`` is rml2016.10a, rml2016.10b or rml2016.04c; it is told from the file if not given.
    Frames keep their scale and their order within a cell (one class at one label); cells go class
    by class, labels rising. The file does not tell which frames came from one pass of the
    modulator, so each counts as its own. Memory: one cell.
    Raises UserError if the file is anything else, or holds samples that are not finite.
    """
    path = Path(source)
    cells = load_arrays(path)
    for (class_name, label), stored in cells.items():
        if len(stored.shape) != 3 or stored.shape[1] != 2:
            raise UserError(
                f"{path}: the frames of {class_name} at {label} dB have shape {stored.shape}, "
                "not (n, 2, 128)"
            )
        if not -128 <= label <= 126:
            raise UserError(f"{path}: {label} dB is no SNR label")
    name = name or tell_pickled_set(path, {key: cell.shape[0] for key, cell in cells.items()})
    published = SETS[name]
    found = {class_name for class_name, _ in cells}
    if found != set(published.classes):
        raise UserError(
            f"{path}: holds {', '.join(sorted(found))}, which are not the classes of "
            f"{published.title}"
        )
    lengths = {cell.shape[2] for cell in cells.values()}
    if lengths != {published.frame_length}:
        raise UserError(
            f"{path}: has frames of {', '.join(map(str, sorted(lengths)))} samples; those of "
            f"{published.title} have {published.frame_length}"
        )

    labels = sorted({label for _, label in cells})
    lacking = [(c, at) for c in published.classes for at in labels if (c, at) not in cells]
    if lacking:
        _log.warning(
            "%s: %d cells are lacking, the first of them %s at %d dB",
            path,
            len(lacking),
            *lacking[0],
        )

    classes = part.chosen_classes(published.classes)
    wanted = sorted(
        (classes.index(class_name), label)
        for class_name, label in cells
        if class_name in classes and part.wants_snr(label)
    )
    counts = [cells[classes[index], label].shape[0] for index, label in wanted]
    if part.frames_per_cell:
        counts = [min(count, part.frames_per_cell) for count in counts]
    frames = sum(counts)
    if not frames:
        raise UserError(f"{path}: has no frames of what was asked for")
    written = 0
    with DataSetWriter(
        out, describe(path, name, classes, part), frames, published.frame_length
    ) as writer:
        for (index, label), count in zip(wanted, counts, strict=True):
            where = f"{path}: {classes[index]} at {label} dB"
            try:
                x = cells[classes[index], label].read()[:count]
            except ValueError as error:
                raise UserError(f"{where}: {error}") from error
            if not np.isfinite(x).all():
                raise UserError(f"{where}: a sample is not a finite number")
            writer.append(
                x,
                np.full(count, index, np.uint8),
                np.full(count, label, np.int8),
                np.arange(written, written + count, dtype=np.uint32),
            )
            written += count
    return name, frames
