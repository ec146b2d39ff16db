# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a SigMF recording: metadata checked against the schema, and against the data."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

from .errors import InputError
from .formats import SampleFormat, format_by_sigmf_datatype
from .segments import Segment

META_SUFFIX = ".sigmf-meta"
DATA_SUFFIX = ".sigmf-data"
SUFFIXES = (META_SUFFIX, DATA_SUFFIX)


@dataclass(frozen=True)
class SigmfRecording:
    """A recording that may be read: where the samples lie, and how they are divided.

    ``segments`` count samples from the start of the data file; ``offset`` is what the metadata
    adds to such a number (``core:offset``).
    """

    meta_path: Path
    data_path: Path
    header_bytes: int
    format: SampleFormat
    offset: int
    segments: list[Segment]
    metadata: dict[str, Any]


def file_sha512(path: Path) -> str:
    """The SHA-512 of a file, in hexadecimal."""
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def validate_metadata(metadata: dict[str, Any]) -> None:
    """Check metadata with the ``sigmf`` package.  Raises :class:`InputError` if it fails."""
    try:
        from sigmf.validate import validate
    except ImportError:
        raise InputError("SigMF needs the Python package sigmf (pip install sigmf)") from None
    from jsonschema.exceptions import ValidationError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            validate(metadata)
    except ValidationError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        raise InputError(f"invalid SigMF metadata {where}: {error.message}") from None


def _seconds(text: str, path: Path) -> tuple[int, float]:
    """``core:datetime`` as whole seconds since 1970 and the rest, all digits kept."""
    whole, _, fraction = text.rstrip("Zz").partition(".")
    try:
        moment = datetime.fromisoformat(whole)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return int(moment.timestamp()), float("0." + (fraction or "0"))
    except ValueError:
        raise InputError(f"{path}: unreadable core:datetime {text!r}") from None


def _paths(path: Path) -> tuple[Path, dict[str, Any], Path]:
    """Metadata file, its content, and the data file."""
    meta_path = path.with_suffix(META_SUFFIX)
    try:
        metadata = json.loads(meta_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{meta_path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{meta_path}: not readable as SigMF metadata: {error}") from None
    try:
        validate_metadata(metadata)
    except InputError as error:
        raise InputError(f"{meta_path}: {error}") from None
    dataset = metadata["global"].get("core:dataset")
    data_path = meta_path.parent / dataset if dataset else meta_path.with_suffix(DATA_SUFFIX)
    if not data_path.is_file():
        raise InputError(f"{data_path}: the data of {meta_path.name} is not there")
    return meta_path, metadata, data_path


def open_sigmf(path: Path) -> SigmfRecording:
    """Open the recording that ``path`` (its metadata or its data) belongs to.

    Raises :class:`InputError` for metadata that is invalid, that describes something a receiver
    cannot use, or that does not fit the data.
    """
    meta_path, metadata, data_path = _paths(path)
    info = metadata["global"]
    captures = metadata["captures"]
    if info.get("core:num_channels", 1) != 1:
        raise InputError(f"{meta_path}: more than one channel is not supported")
    if any(capture.get("core:header_bytes") for capture in captures[1:]):
        raise InputError(f"{meta_path}: header bytes amid the samples are not supported")
    rate = info.get("core:sample_rate")
    if not rate or rate <= 0:
        raise InputError(f"{meta_path}: the metadata names no sample rate above 0")
    sample_format = format_by_sigmf_datatype(info["core:datatype"])

    header = captures[0].get("core:header_bytes", 0) if captures else 0
    if header % sample_format.item_bytes:
        raise InputError(
            f"{meta_path}: a header of {header} bytes is no whole number of "
            f"{sample_format.item_bytes}-byte items"
        )
    size = data_path.stat().st_size - header - info.get("core:trailing_bytes", 0)
    count, rest = divmod(size, sample_format.sample_bytes)
    if count <= 0:
        raise InputError(f"{data_path}: no samples")
    if rest:
        raise InputError(
            f"{data_path}: {size} bytes are no whole number of "
            f"{sample_format.sample_bytes}-byte samples"
        )
    offset = info.get("core:offset", 0)
    _check_length(metadata, offset + count, meta_path, data_path)
    digest = info.get("core:sha512")
    if digest and digest.lower() != file_sha512(data_path):
        raise InputError(f"{data_path}: the data is not what core:sha512 says: cut or changed")

    starts = [capture["core:sample_start"] - offset for capture in captures]
    if not starts or starts[0] > 0:
        captures, starts = [{}, *captures], [0, *starts]
    segments = []
    for capture, (start, end) in zip(captures, pairwise([*starts, count]), strict=True):
        if end <= start:
            continue
        text = capture.get("core:datetime")
        if text is None:
            seconds = start / rate
            time = (int(seconds), seconds % 1)
        else:
            time = _seconds(text, meta_path)
        segments.append(
            Segment(start, end - start, float(rate), float(capture.get("core:frequency", 0)), time)
        )
    return SigmfRecording(meta_path, data_path, header, sample_format, offset, segments, metadata)


def _check_length(metadata: dict[str, Any], end: int, meta_path: Path, data_path: Path) -> None:
    """Refuse data that ends before what the metadata describes."""
    last = max((c["core:sample_start"] + 1 for c in metadata["captures"]), default=0)
    for annotation in metadata["annotations"]:
        last = max(last, annotation["core:sample_start"] + annotation.get("core:sample_count", 0))
    if last > end:
        raise InputError(
            f"{data_path}: the data ends at sample {end}, {meta_path.name} describes samples up "
            f"to {last}"
        )
