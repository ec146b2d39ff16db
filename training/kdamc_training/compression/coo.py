# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sparse matrix as it is stored: every non-zero value with its row and its column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Coo:
    """A matrix of ``shape`` by coordinates; three arrays of one length, sorted by row, column.

    ``rows`` and ``columns`` have the smallest unsigned type that holds the largest index of the
    shape, so a layer of 256 outputs and up to 65,536 inputs costs 3 bytes of index a value.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, dense: np.ndarray, dtype: np.dtype | type = np.float32) -> Coo:
        """The non-zero elements of ``dense`` ``(rows, columns)``, stored as ``dtype``.

        What ``dtype`` rounds to zero is left out.
        """
        dense = np.asarray(dense, dtype)
        height, width = dense.shape
        rows, columns = np.nonzero(dense)
        return cls(
            (height, width),
            rows.astype(_index_type(height)),
            columns.astype(_index_type(width)),
            dense[rows, columns],
        )

    @property
    def nbytes(self) -> int:
        """Bytes of values and both indices."""
        return self.rows.nbytes + self.columns.nbytes + self.values.nbytes


def _index_type(length: int) -> np.dtype:
    return np.min_scalar_type(max(length - 1, 0))
