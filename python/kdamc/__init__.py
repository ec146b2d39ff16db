# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""gr-kdamc: automatic modulation classification with small ONNX networks.

Names load when they are first used (PEP 562): ``from gnuradio import kdamc`` works, and so does
a flowgraph that only slices frames, on a machine without onnxruntime; a classifier block made
there says what to install.  It also lets the training wing read :mod:`contract` and
:mod:`model` on a machine without GNU Radio.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

#: Public name -> module of this package that defines it.
_HOME = {
    "frame_slicer": "frame_slicer",
    "rms_normalizer": "rms_normalizer",
    "onnx_classifier": "onnx_classifier",
    "kd_amc_classifier": "kd_amc_classifier",
    "kd_amc_display": "kd_amc_display",
    "kd_amc_spectrum": "kd_amc_spectrum",
    "modulation_source": "modulation_source",
    "signal_front_end": "signal_front_end",
    "signal_scanner": "signal_scanner",
    "rml_source": "rml_source",
    "accuracy_sink": "accuracy_sink",
    "sigmf_annotation_sink": "sigmf_annotation_sink",
    "Decision": "decision",
    "FoundSignal": "band_scanner",
    "BandScanner": "band_scanner",
    "ModelError": "contract",
    "DataFileError": "data_file",
    "Model": "model",
    "open_model": "model",
    "installed_models": "model",
    "FrameKernel": "kdamc_python",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


class _Package(ModuleType):
    """Keeps a block's name bound to the block.

    A block's file has the block's name, and importing a submodule binds the module to that name
    in its package, whoever imports it and when.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
