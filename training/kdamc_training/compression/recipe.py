# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes of ``kdamc-train compress``: which trained networks are made smaller, and how.

Such a file lies in ``training/recipes/compression/`` and is read as strictly as a recipe of
training, which it names: its rows begin from that one's trained members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..recipe import build, check_limits, check_name, document_of, naming
from .product_quantization import MAX_CENTROIDS


@dataclass(frozen=True)
class NetTrimSection:
    """How rows with a ``gain`` are pruned: on so many of the training ``frames``, drawn with the
    recipe's seed, by ADMM (see ``net_trim``), whose state is saved every ``keep_every``
    iterations."""

    frames: int
    rho: float = 1.0
    tolerance: float = 1e-4
    max_iterations: int = 2000
    keep_every: int = 50


@dataclass(frozen=True)
class ProductQuantizationSection:
    """How rows with ``blocks`` are quantized: into so many ``centroids`` a block."""

    centroids: int = MAX_CENTROIDS


@dataclass(frozen=True)
class RetrainSection:
    """How rows ``after`` others are trained again: by Adam and cross-entropy on ``train_share`` of
    the training frames, its rate falling to zero as a cosine; the epoch best on the validation
    frames counts."""

    epochs: int = 20
    train_share: float = 0.1
    batch_size: int = 256
    learning_rate: float = 1e-4


@dataclass(frozen=True)
class Row:
    """What a record is about: the first seed of ``member``, of whose first dense layer Net-Trim
    prunes what ``gain`` allows or which is quantized in ``blocks``; or the result of the row
    ``after`` which it comes, trained again with that layer frozen, or its zeros."""

    member: str = ""
    gain: float | None = None
    blocks: int | None = None
    after: str = ""


@dataclass(frozen=True)
class CompressionRecipe:
    """Rows of what is made of the members of ``of``, a recipe run before at the same budget."""

    name: str
    about: str
    of: str
    net_trim: NetTrimSection
    rows: dict[str, Row]
    product_quantization: ProductQuantizationSection = ProductQuantizationSection()
    retrain: RetrainSection = RetrainSection()
    seed: int = 0
    budget: str = field(default="paper")

    def origin(self, row: str) -> Row:
        """What names member and method: the row, or the one that it comes after."""
        own = self.rows[row]
        return self.rows[own.after] if own.after else own


def load(path: str | Path, budget: str = "paper") -> CompressionRecipe:
    """Read a recipe file at ``budget``; raises UserError, naming file and key, for what
    cannot be."""
    document = document_of(path, budget)
    with naming(path):
        recipe = build(CompressionRecipe, document, "")
        _check(recipe)
    return recipe


def _check(recipe: CompressionRecipe) -> None:
    check_name(recipe.name)
    trim, retrain = recipe.net_trim, recipe.retrain
    check_limits(
        [
            ("net_trim.frames", trim.frames, 1, 10_000_000),
            ("net_trim.rho", trim.rho, 1e-6, 1e6),
            ("net_trim.tolerance", trim.tolerance, 1e-12, 1.0),
            ("net_trim.max_iterations", trim.max_iterations, 1, 1_000_000),
            ("net_trim.keep_every", trim.keep_every, 1, 1_000_000),
            (
                "product_quantization.centroids",
                recipe.product_quantization.centroids,
                1,
                MAX_CENTROIDS,
            ),
            ("retrain.epochs", retrain.epochs, 1, 100_000),
            ("retrain.train_share", retrain.train_share, 1e-4, 1.0),
            ("retrain.batch_size", retrain.batch_size, 1, 1 << 20),
            ("retrain.learning_rate", retrain.learning_rate, 1e-8, 10.0),
            ("seed", recipe.seed, 0, 2**31 - 1),
        ]
    )
    if not recipe.rows:
        raise UserError("recipe key 'rows' is empty")
    for number, name in enumerate(recipe.rows):
        _check_row(recipe, name, list(recipe.rows)[:number])


def _check_row(recipe: CompressionRecipe, name: str, before: list[str]) -> None:
    row, where = recipe.rows[name], f"rows.{name}"
    if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
        raise UserError(f"recipe key {where!r}: a name has letters, digits, '_', '-' and '.'")
    if row.after:
        if row.member or row.gain is not None or row.blocks is not None:
            raise UserError(f"recipe key '{where}.after' goes without member, gain and blocks")
        if row.after not in before or recipe.rows[row.after].after:
            raise UserError(
                f"recipe key '{where}.after' is {row.after!r}, which is no row listed before it "
                "that prunes or quantizes"
            )
        return
    if not row.member:
        raise UserError(f"recipe key '{where}.member' is missing")
    if (row.gain is None) == (row.blocks is None):
        raise UserError(f"recipe key {where!r} needs one of gain and blocks")
    if row.gain is not None:
        check_limits([(f"{where}.gain", row.gain, 0.0, 1.0)])
    if row.blocks is not None:
        check_limits([(f"{where}.blocks", row.blocks, 1, 65536)])
