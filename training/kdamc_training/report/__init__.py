# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page ``docs/results.md``: written from the records alone, and checked against them.

The page is a list of sections, each a function of the folder of records and the pictures so far
that returns lines of Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..files import replacing
from ..pipeline import RESULTS
from ..recipe import Recipe
from . import accuracy_speed, compression, experiments, int8, limit, models, robustness, speeds
from .collect import read_runs
from .pictures import Pictures

PAGE = RESULTS.parents[1] / "docs" / "results.md"
PICTURES = Path("images") / "results"
"""Where the pictures lie beside the page."""

Section = Callable[[Path, Pictures], list[str]]
SECTIONS: tuple[Section, ...] = (
    experiments.introduction,
    experiments.section,
    compression.section,
    int8.section,
    limit.section,
    models.section,
    accuracy_speed.section,
    speeds.section,
    robustness.section,
)


def build(results: Path = RESULTS) -> tuple[str, Pictures]:
    """The text of the page, and its pictures, not drawn yet.

    Raises UserError if a record cannot be used.
    """
    pictures = Pictures(PICTURES)
    lines = [line for section in SECTIONS for line in section(results, pictures)]
    return "\n".join(lines).rstrip() + "\n", pictures


def write(results: Path = RESULTS, page: Path = PAGE) -> list[Path]:
    """Write page and pictures, remove pictures that it no longer names; the paths written."""
    text, pictures = build(results)
    folder = page.parent / PICTURES
    written = pictures.draw(page.parent)
    for path in folder.glob("*.png"):
        if path not in written:
            path.unlink()
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [page, *written]


def write_own(recipe: Recipe, folder: Path, page: Path) -> list[Path]:
    """Write a page of the runs of one ``recipe`` in its ``folder``, and pictures in a folder beside
    it; the paths written. Raises UserError if there is no run, or one that is of other settings."""
    pictures = Pictures(Path(f"{page.stem}-images"))
    lines = experiments.own_page(read_runs(recipe, folder), pictures)
    with replacing(page) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return [page, *pictures.draw(page.parent)]


def check(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Raise UserError unless page and pictures are those of the records."""
    text, pictures = build(results)
    if not page.is_file():
        raise UserError(f"{page} does not exist; kdamc-train report writes it")
    found, expected = page.read_text(encoding="utf-8").splitlines(), text.splitlines()
    for number in range(max(len(found), len(expected))):
        here, there = (_line(lines, number) for lines in (found, expected))
        if here != there:
            raise UserError(
                f"{page} does not match the records: line {number + 1} is {here}, expected {there}"
            )
    pictures.check(page.parent)


def _line(lines: list[str], number: int) -> str:
    return repr(lines[number]) if number < len(lines) else "missing"
