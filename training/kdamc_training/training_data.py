# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames for training: in memory where they fit, else streamed from the data set file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .datasets.dataset_file import DataSetFile, DataSetInfo, rms_normalised, split_by_pass
from .errors import UserError

MEMORY_LIMIT = 4 << 30
"""Bytes of float32 frames above which they are streamed."""

TRUE_SNR = "snr_db"
NOISE_POWER = "noise_power"
LOG_POSTERIOR = "log_posterior_"
"""What true SNRs, shares of noise and, before a class's name, posteriors are called in a file."""
_ALONE = {"neighbours": 0, "burst_share": 1.0}
"""Draws of frames that hold a signal from end to end, and no other."""
_BLOCK = 65536
_VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Part:
    """Some frames of a data set file: sorted indices.

    ``classes`` are those of the file that count, in its order, if not all do; frames of others must
    not be chosen.
    """

    path: Path
    chosen: np.ndarray
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.chosen)

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Class indices and SNR labels, ``(n)`` int64 each."""
        with DataSetFile(self.path) as data:
            y = data.y[:][self.chosen].astype(np.int64)
            z = data.z[:][self.chosen].astype(np.int64)
            if self.classes:
                kept = [name in self.classes for name in data.info.classes]
                y = (np.cumsum(kept) - 1)[y]
            return y, z

    def cells(self) -> int:
        """How many cells, a class at an SNR label, it has frames of."""
        return len(np.unique(np.stack(self.labels()), axis=1).T)

    def class_names(self) -> tuple[str, ...]:
        """What the class indices stand for."""
        if self.classes:
            return self.classes
        with DataSetFile(self.path) as data:
            return tuple(data.info.classes)

    def without(self, names: Collection[str]) -> Part:
        """The frames of all but the classes ``names``; those that are not there do not matter."""
        if not names:
            return self
        return self.only([name for name in self.class_names() if name not in names])

    def only(self, names: Collection[str]) -> Part:
        """The frames of the classes ``names``; raises UserError for one that is not there."""
        with DataSetFile(self.path) as data:
            known, labels = tuple(data.info.classes), data.y[:][self.chosen]
        if unknown := sorted(set(names) - set(known)):
            raise UserError(f"{self.path} has no class {unknown[0]!r}")
        left = tuple(name for name in known if name in names)
        kept = np.isin(labels, [known.index(name) for name in left])
        return Part(self.path, self.chosen[kept], left)

    def true_snr(self) -> np.ndarray | None:
        """SNRs as they were drawn, ``(n)`` float32 in dB, NaN where nothing is on the air; None if
        the file does not hold them."""
        with DataSetFile(self.path) as data:
            if TRUE_SNR not in data.draws:
                return None
            return data.draws[TRUE_SNR][:][self.chosen].astype(np.float32)

    def log_posterior(self) -> np.ndarray | None:
        """Natural logarithms of the exact posteriors, ``(n, classes)`` float32; None if the file
        does not hold them. Without some of its classes they are not normalised."""
        names = [f"{LOG_POSTERIOR}{name}" for name in self.class_names()]
        with DataSetFile(self.path) as data:
            if any(name not in data.draws for name in names):
                return None
            columns = [data.draws[name][:][self.chosen] for name in names]
        return np.stack(columns, axis=1).astype(np.float32)


def noise_power(part: Part) -> np.ndarray | None:
    """Which share of the power of each frame is noise, ``(n)`` float32; None as for ``true_snr``.

    NaN where that does not follow from the SNR: there is no signal, or not all the time, or there
    are others beside it. Some data sets hold it.
    """
    with DataSetFile(part.path) as data:
        if NOISE_POWER in data.draws:
            return data.draws[NOISE_POWER][:][part.chosen].astype(np.float32)
    true_snr = part.true_snr()
    if true_snr is None:
        return None
    share = 1.0 / (1.0 + 10.0 ** (true_snr / 10.0))
    with DataSetFile(part.path) as data:
        for name, usual in _ALONE.items():
            if name in data.draws:
                share[data.draws[name][:][part.chosen] != usual] = np.nan
    return share


def thinned(part: Part, share: float, seed: int) -> Part:
    """About ``share`` of the frames of ``part``, evenly from all cells, frame by frame.

    Raises UserError if that is none.
    """
    if share >= 1.0:
        return part
    y, z = part.labels()
    (kept,) = split_by_pass(np.arange(len(part)), y * 256 + z, [share], seed)
    if not len(kept):
        raise UserError(f"a share of {share} of {len(part)} training frames is none")
    return replace(part, chosen=part.chosen[kept])


class Frames(Dataset):
    """Frames of a part with their class, given out a whole batch at a time.

    An item is asked for by an index array ``(m)`` of positions in the part and is (frames
    ``(m, 2, L)`` float32 of RMS 1, class ``(m)`` int64, the positions). ``true_snr``,
    ``noise_power`` and ``log_posterior`` are those of the part, by position. Frames beyond
    ``limit`` bytes stay in the file, which the system pages in and out; files in HDF5 chunks are
    read piece by piece, which is slow.
    """

    def __init__(self, part: Part, limit: int = MEMORY_LIMIT) -> None:
        self._part = part
        self._labels = torch.from_numpy(part.labels()[0])
        self.true_snr = _tensor(part.true_snr())
        self.noise_power = _tensor(noise_power(part))
        self.log_posterior = _tensor(part.log_posterior())
        with DataSetFile(part.path) as data:
            _, rows, length = data.x.shape
            self._streamed = 4 * len(part) * rows * length > limit
            if not self._streamed:
                self._frames = _in_memory(data, part.chosen)
        self._open: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self._streamed:
            return self._frames[index], self._labels[index], index
        rows = self._part.chosen[index.numpy()]
        if self._open is None:
            # Opened on first use, so that each process has its own.
            self._open = _mapped(self._part.path)
        order = np.argsort(rows)
        frames = np.empty((len(rows), *self._open.shape[1:]), np.float32)
        frames[order] = self._open[rows[order]]
        return torch.from_numpy(rms_normalised(frames)), self._labels[index], index


def _tensor(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values)


def _in_memory(data: DataSetFile, chosen: np.ndarray) -> Tensor:
    frames = np.empty((len(chosen), *data.x.shape[1:]), np.float32)
    for start in range(0, len(data), _BLOCK):
        low, high = np.searchsorted(chosen, [start, start + _BLOCK])
        if low < high:
            block = data.x[start : start + _BLOCK]
            frames[low:high] = rms_normalised(block[chosen[low:high] - start])
    return torch.from_numpy(frames)


def _mapped(path: Path) -> np.ndarray:
    """X of a data set file as an array that is read where it is touched."""
    with DataSetFile(path) as data:
        mapped = data.mapped_frames()
    return DataSetFile(path).x if mapped is None else mapped


class EpochSampler(Sampler):
    """Index arrays of ``batch_size``, shuffled anew each epoch by (seed, epoch) alone.

    Lightning tells it the epoch, so a resumed run sees the batches it would have seen. With
    ``seed`` None the order is that of the data and the last batch may be short. Of ``world``
    processes each is given its share of every batch.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._rank, self._world = rank, world
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        if self._seed is None:
            return -(-self._count // self._batch_size)
        return max(1, self._count // self._batch_size)

    def __iter__(self):
        if self._seed is None:
            order = torch.arange(self._count)
        else:
            shuffled = np.random.default_rng([self._seed, self._epoch]).permutation(self._count)
            order = torch.from_numpy(shuffled)
        for batch in range(len(self)):
            whole = order[batch * self._batch_size : (batch + 1) * self._batch_size]
            yield whole[self._rank :: self._world]


class FrameData(lightning.LightningDataModule):
    """Training and validation frames, shuffled by ``seed``; every process sees all validation."""

    def __init__(
        self,
        training: Part,
        validation: Part,
        batch_size: int,
        seed: int,
        limit: int = MEMORY_LIMIT,
    ) -> None:
        super().__init__()
        self.training, self.validation = Frames(training, limit), Frames(validation, limit)
        self._batch_size, self._seed = batch_size, seed

    def train_dataloader(self) -> DataLoader:
        sampler = EpochSampler(
            len(self.training),
            self._batch_size,
            self._seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(self.training, sampler=sampler, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        sampler = EpochSampler(len(self.validation), _VALIDATION_BATCH, None)
        return DataLoader(self.validation, sampler=sampler, batch_size=None)


def describe(info: DataSetInfo) -> str:
    """One line that names a data set file in models and records."""
    return " ".join(
        text
        for text in (info.generator, f"seed {info.seed}", info.speech and f"speech {info.speech}")
        if text
    )
