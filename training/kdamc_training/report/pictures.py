# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a page: gathered while the text is made, drawn or checked afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import replacing
from ..plots import PictureContent, save


@dataclass(frozen=True)
class Picture:
    """How to draw a picture and what it shows, as JSON would hold it."""

    figure: Callable[[Any], Any]
    content: PictureContent

    def digest(self) -> str:
        """Tells pictures of different content apart; stands in the PNG file's metadata."""
        text = json.dumps([self.figure.__name__, self.content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Pictures:
    """Pictures by path relative to the page; ``folder`` is where they lie beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pictures: dict[Path, Picture] = {}

    def add(
        self,
        name: str,
        about: str,
        figure: Callable[[Any], Any],
        content: PictureContent,
    ) -> str:
        """Take up a picture, drawn by a function of ``plots``; returns the line of Markdown."""
        path = self.folder / f"{name}.png"
        if path in self._pictures:
            raise ValueError(f"two pictures are called {name}")
        self._pictures[path] = Picture(figure, content)
        return f"![{about}]({path.as_posix()})"

    def draw(self, beside: Path) -> list[Path]:
        """Draw all that are not there yet as they must be, below ``beside``; all their paths."""
        (beside / self.folder).mkdir(parents=True, exist_ok=True)
        for path, picture in self._pictures.items():
            if not _shows(beside / path, picture.digest()):
                with replacing(beside / path) as temporary:
                    save(picture.figure(picture.content), temporary, picture.digest())
        return [beside / path for path in self._pictures]

    def check(self, beside: Path) -> None:
        """Raise UserError for the first picture that is missing or shows something else."""
        for path, picture in self._pictures.items():
            if not (beside / path).is_file():
                raise UserError(f"{beside / path} is missing; kdamc-train report draws it")
            if not _shows(beside / path, picture.digest()):
                raise UserError(f"{beside / path} does not show what the records hold")


def _shows(path: Path, digest: str) -> bool:
    return path.is_file() and digest.encode() in path.read_bytes()
