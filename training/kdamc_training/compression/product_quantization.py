# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Product quantization: a dense layer's weights as codes of a byte into small codebooks.

Of Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", IEEE Trans. PAMI
33(1), as Baishya, Manoj and Bora, "Edge-efficient deep learning models for automatic modulation
classification", Algorithm 2, use it on the first dense layer of their networks: the weight matrix
``(M inputs, N outputs)`` is cut by columns into P blocks ``(M, d = N / P)``, each block's rows are
clustered by k-means into K_s = 256 centroids, and a row is stored as P centroid numbers. (That M
is the inputs and not the outputs follows from their Table II.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UserError

# Codes are bytes.
MAX_CENTROIDS = 256


def compression_rate(
    inputs: int, outputs: int, blocks: int, centroids: int = 256, bits: int = 64
) -> float:
    """C_Q = b M N / (b K_s N + log2(K_s) M P), the edge paper's equation 2.

    M is ``inputs``, N ``outputs``, P ``blocks``, K_s ``centroids`` and b ``bits`` of a weight: 64
    there, 32 for what a file really holds.
    """
    stored = bits * centroids * outputs + math.log2(centroids) * inputs * blocks
    return bits * inputs * outputs / stored


def file_rate(parameters: int, weights: int, rate: float) -> float:
    """How many times smaller a network is if ``weights`` of its ``parameters`` shrink by ``rate``.

    VTCNN2 at 11 classes and P = 2: 14.3 as stored (38.2 for the layer), where the paper's 39.65,
    which is at 64 bits, would make 14.5.
    """
    return parameters / (parameters - weights + weights / rate)


@dataclass(frozen=True)
class ProductQuantized:
    """A weight matrix ``(M, N)`` as it is stored.

    ``codebook`` is ``(P, K, d)`` float32, ``codes`` ``(M, P)`` uint8: row m of block p is
    ``codebook[p, codes[m, p]]``.
    """

    codebook: np.ndarray
    codes: np.ndarray

    def dense(self) -> np.ndarray:
        """The matrix that it stands for, ``(M, N)`` float32."""
        blocks = np.arange(len(self.codebook))
        return self.codebook[blocks, self.codes].reshape(len(self.codes), -1)

    @property
    def nbytes(self) -> int:
        """Bytes of codebook and codes."""
        return self.codebook.nbytes + self.codes.nbytes

    @property
    def stored_rate(self) -> float:
        """How many times as large the float32 matrix is: C_Q at 32 bits if K is 256."""
        blocks, _, width = self.codebook.shape
        return 4 * len(self.codes) * blocks * width / self.nbytes


def quantize(
    weight: np.ndarray, blocks: int, centroids: int = 256, seed: int = 0
) -> ProductQuantized:
    """Quantize ``weight`` ``(M, N)``: for ``torch.nn.Linear`` its ``weight`` transposed.

    Lloyd's k-means from the best of k-means++'s own trials, one start, up to 300 iterations, as
    scikit-learn does it with ``seed``; the paper does not say. It moves the centroid of an empty
    cluster to the row worst represented. A block without more than ``centroids`` different rows is
    kept exactly. Raises UserError if ``blocks`` does not divide N, ``centroids`` is not 1..256, or
    a weight is not finite.
    """
    weight = np.asarray(weight, np.float32)
    if weight.ndim != 2 or not weight.size:
        raise UserError(f"a weight matrix has rows and columns, not the shape {weight.shape}")
    outputs = weight.shape[1]
    if not 1 <= blocks <= outputs or outputs % blocks:
        raise UserError(f"a layer of {outputs} outputs cannot be cut into {blocks} equal blocks")
    if not 1 <= centroids <= MAX_CENTROIDS:
        raise UserError(f"centroids is {centroids}; it must be 1 to {MAX_CENTROIDS}")
    if not np.isfinite(weight).all():
        raise UserError("weight: not all values are finite")
    books, codes = zip(
        *(_clustered(block, centroids, seed) for block in np.split(weight, blocks, axis=1)),
        strict=True,
    )
    # Blocks kept exactly may have fewer centroids; no code points to what fills them up.
    size = max(map(len, books))
    codebook = np.stack([np.pad(book, ((0, size - len(book)), (0, 0))) for book in books])
    return ProductQuantized(codebook, np.stack(codes, axis=1))


def _clustered(block: np.ndarray, centroids: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroids ``(K, d)`` float32 and the code of every row ``(M,)`` uint8."""
    from sklearn.cluster import KMeans

    different, codes = np.unique(block, axis=0, return_inverse=True)
    if len(different) <= centroids:
        return different, codes.reshape(-1).astype(np.uint8)
    found = KMeans(centroids, n_init=1, random_state=seed).fit(block)
    return found.cluster_centers_.astype(np.float32), found.labels_.astype(np.uint8)


class _Stored(torch.autograd.Function):
    """Its argument; in ONNX an Identity.

    The exporter computes what depends on nothing but stored tensors and would write the dense
    weight to the file; it does not look through an Identity. ONNX Runtime does, when it opens the
    file, so the dense weight is there in memory and the layer runs as fast as a dense one.
    """

    @staticmethod
    def forward(ctx, codes: Tensor) -> Tensor:
        return codes.view_as(codes)

    @staticmethod
    def symbolic(g, codes):
        return g.op("Identity", codes)


class ProductQuantizedLinear(nn.Module):
    """y = x W + b with W of a ``ProductQuantized``: ``(..., M)`` to ``(..., N)`` float32.

    ``bias`` is ``(N,)`` or None and can be trained. The codebook is not, as the paper keeps it as
    it is while the rest of the network is trained again, and codes never change.
    """

    def __init__(
        self, quantized: ProductQuantized, bias: Tensor | np.ndarray | None = None
    ) -> None:
        super().__init__()
        blocks, size, _ = quantized.codebook.shape
        # One table for all blocks, so that one Gather finds whole rows.
        self.codebook = nn.Parameter(
            torch.tensor(quantized.codebook).flatten(0, 1), requires_grad=False
        )
        self.register_buffer("codes", torch.tensor(quantized.codes))
        self.register_buffer("first", torch.arange(blocks) * size, persistent=False)
        if bias is None:
            self.register_parameter("bias", None)
        else:
            self.bias = nn.Parameter(torch.as_tensor(bias, dtype=torch.float32).detach().clone())

    def quantized(self) -> ProductQuantized:
        """Codebook and codes as they are now."""
        blocks = len(self.first)
        codebook = self.codebook.detach().cpu().numpy()
        return ProductQuantized(
            codebook.reshape(blocks, -1, codebook.shape[1]).copy(), self.codes.cpu().numpy().copy()
        )

    def forward(self, x: Tensor) -> Tensor:
        codes = _Stored.apply(self.codes).long() + self.first
        weight = functional.embedding(codes, self.codebook).flatten(1)
        product = x @ weight
        return product if self.bias is None else product + self.bias
