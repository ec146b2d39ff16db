# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model card: what a radio user should know of a model, made from the record of its run."""

from __future__ import annotations

from typing import Any

import numpy as np

_CONFUSIONS = 6
_LEAST_CONFUSION = 0.02


def model_card(record: dict[str, Any], about: str, limits: tuple[str, ...]) -> str:
    """Markdown text for one model; ``record`` is what ``pipeline.run`` writes."""
    test = record["test"]
    data, model = test["data"], test["model"]
    lines = [
        f"# {model['file'].removesuffix('.onnx')}",
        "",
        "<!-- Made by kdamc-train from the record of the run; do not edit. -->",
        "",
        about,
        "",
        f"- Network: `{model['architecture']}`, {record['parameters']:,} parameters, "
        f"{record['bytes'] / 1000:,.0f} kB as ONNX.",
        f"- Takes `iq (n, 2, {record['frame_length']})` float32, each frame of RMS 1, at "
        f"{_range(record['samples_per_symbol'])} samples a symbol.",
        f"- Classes: {', '.join(test['classes'])}.",
        f"- Recipe: `{model['recipe']}`, budget `{record['budget']}`; made by "
        f"`{record['command']}`.",
        "- Licence: GPL-3.0-or-later.",
        "",
        "## Accuracy",
        "",
        f"Trained on {record['train_frames']:,} frames of `{record['train_data']}`. Measured on "
        f"{test['frames']:,} frames of `{data['generator']}`, seed {data['seed']}, "
        f"speech `{data['speech']}` (other passes, texts and voices than in training). "
        "**All data is regenerated; no genuine RadioML frame was used.**",
        "",
        _augmentation(record["settings"]["augment"]),
        "",
        f"Overall {_percent(test['overall'])}; at SNR labels from 0 dB "
        f"{_percent(_from_0_db(test))}.",
        "",
        *_table(
            ["SNR label (dB)", *test["by_snr"]],
            [["accuracy (%)", *(f"{100 * value:.1f}" for value in test["by_snr"].values())]],
        ),
        "",
        "By class, mean over SNR labels from 4 dB:",
        "",
        *_table(
            list(test["classes"]),
            [[_percent(value) for value in class_means(test, 4).values()]],
        ),
        "",
        f"What it confuses most at SNR labels from 0 dB: {_confusions(test)}.",
        "",
        "## Confidence",
        "",
        f"Temperature {model['temperature']:.3f} and fusion exponent "
        f"{model['fusion_exponent']:.3f}, fitted on {record['calibration']['fitted_on']} (neither "
        "training nor test data). Expected calibration error of single frames on the test set (15 "
        f"bins of equal mass): {test['ece']:.4f}.",
        "",
        "Decisions fused from n consecutive frames, on test runs over all SNR labels:",
        "",
        *_table(
            ["n", "decisions", "accuracy", "calibration error"],
            [
                [n, f"{row['decisions']:,}", _percent(row["accuracy"]), f"{row['ece']:.4f}"]
                for n, row in record["decisions"].items()
            ],
        ),
        "",
        "## Speed",
        "",
        f"ONNX Runtime {record['versions']['onnxruntime']}, one thread, float32, on "
        f"{record['hardware']}; frames a second by batch size:",
        "",
        *_table(
            ["batch", *record["frames_per_second"]],
            [["frames/s", *(f"{value:,.0f}" for value in record["frames_per_second"].values())]],
        ),
        "",
        "## What it was never shown",
        "",
        *(f"- {sentence}" for sentence in limits),
    ]
    return "\n".join(lines) + "\n"


def _augmentation(settings: dict[str, Any]) -> str:
    kinds = []
    if settings["rotation"]:
        kinds.append("turned by any angle")
    if settings["conjugation"]:
        kinds.append("conjugated every other time")
    if settings["carrier_offset"]:
        kinds.append(f"shifted by up to ±{settings['carrier_offset']:g} of the sample rate")
    if settings["receiver_filter"]:
        kinds.append(
            f"low-passed like a narrower receiver in {100 * settings['receiver_filter']:.0f} % "
            "of cases"
        )
    if not kinds:
        return "Training frames were used as they are."
    return f"Training frames were {', '.join(kinds)}; test frames are as generated."


def class_means(test: dict[str, Any], from_label: int) -> dict[str, float]:
    """Accuracy by class, averaged over the SNR labels from ``from_label`` on."""
    chosen = [k for k, value in enumerate(test["snr_labels"]) if value >= from_label]
    return {
        name: float(np.mean([row[k] for k in chosen])) for name, row in test["by_class"].items()
    }


def _from_0_db(test: dict[str, Any]) -> float:
    table = np.array(test["confusion_from_0_db"])
    return float(np.trace(table) / table.sum())


def _confusions(test: dict[str, Any]) -> str:
    table = np.array(test["confusion_from_0_db"], float)
    share = table / table.sum(axis=1, keepdims=True)
    np.fill_diagonal(share, 0.0)
    names = test["classes"]
    worst = np.argsort(share, axis=None)[::-1][:_CONFUSIONS]
    pairs = [np.unravel_index(index, share.shape) for index in worst]
    told = [
        f"{names[i]} called {names[j]} ({_percent(share[i, j])})"
        for i, j in pairs
        if share[i, j] >= _LEAST_CONFUSION
    ]
    return ", ".join(told) or "nothing above 2 %"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _range(pair: list[float]) -> str:
    low, high = (f"{value:g}" for value in pair)
    return low if low == high else f"{low} to {high}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    body = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(row) + " |" for row in body]
