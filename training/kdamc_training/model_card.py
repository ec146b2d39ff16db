# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model card: what a radio user should know of a model, made from the record of its run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .evaluate import CLEAR_FROM_DB, NOISE

_CONFUSIONS = 6
_LEAST_CONFUSION = 0.02
_TRUSTED = 0.8
_NEIGHBOURS = 2
_BAND = 5


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
        *_rounded(record.get("quantization")),
        "- Licence: GPL-3.0-or-later.",
        "",
        "## Accuracy",
        "",
        f"Trained on {record['train_frames']:,} frames of `{record['train_data']}`. Measured on "
        f"{test['frames']:,} frames of `{data['generator']}`, seed {data['seed']}, "
        f"speech `{data['speech']}` (other passes, texts and voices than in training). "
        f"{_source(test)}",
        "",
        _augmentation(record["settings"]["augment"]),
        "",
        *(_received(test) if "received" in test else _by_label(test)),
        "",
        "## Confidence",
        "",
        f"Temperature {model['temperature']:.3f}, {_fusion(model)}, fitted on "
        f"{record['calibration']['fitted_on']} (neither training nor test data). Expected "
        "calibration error of single frames on the test set (15 bins of equal mass): "
        f"{test['ece']:.4f}.{_error_by_snr(test)}",
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
        *_unknown(record.get("unknown")),
        "## Speed",
        "",
        f"ONNX Runtime {record['versions']['onnxruntime']}, one thread, {_numbers(record)}, on "
        f"{record['hardware']}; frames a second by batch size:",
        "",
        *_table(
            ["batch", *record["frames_per_second"]],
            [["frames/s", *(f"{value:,.0f}" for value in record["frames_per_second"].values())]],
        ),
        "",
        *_ratio(record.get("speed_ratio")),
        "## What it was never shown",
        "",
        *(f"- {sentence}" for sentence in limits),
    ]
    return "\n".join(lines) + "\n"


def _fusion(model: dict[str, Any]) -> str:
    """How frames are fused, from what a record says of a model."""
    one, sure = model["fusion_exponent"], model.get("fusion_exponent_sure")
    if sure is None or sure == one:
        return f"fusion exponent {one:.3f}"
    return f"fusion exponent {one:.3f} to {sure:.3f}, mean share {model['fusion_mean_share']:.3f}"


def _numbers(record: dict[str, Any]) -> str:
    return "int8" if "quantization" in record else "float32"


def _rounded(how: dict[str, Any] | None) -> list[str]:
    if how is None:
        return []
    trained = "trained for it" if how["trained_for_it"] else "rounded after training"
    return [
        f"- Quantized, {trained}: weights {how['weights']}, activations {how['activations']}; "
        f"ranges from {how['calibrated_on']}."
    ]


def _ratio(ratio: dict[str, Any] | None) -> list[str]:
    if ratio is None:
        return []
    times = ", ".join(f"{value:.2f} in batches of {n}" for n, value in ratio["by_batch"].items())
    return [f"Timed in turns it is {times} times as fast as `{ratio['to']}` in float32.", ""]


def _source(test: dict[str, Any]) -> str:
    if "received" in test:
        return (
            "**All data is made by software: nothing was received from the air, and no genuine "
            "RadioML frame was used.**"
        )
    return "**All data is regenerated; no genuine RadioML frame was used.**"


def _by_label(test: dict[str, Any]) -> list[str]:
    """Accuracy by SNR label and by class, of a set whose labels are all that is known."""
    return [
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
        "What it confuses most at SNR labels from 0 dB: "
        f"{_confusions(test['confusion_from_0_db'], test['classes'])}.",
    ]


def _received(test: dict[str, Any]) -> list[str]:
    """What a receiver's user asks, of a set that knows each frame's true SNR."""
    found = test["received"]
    signals = [name for name in test["classes"] if name != NOISE]
    clear = _from(found["by_snr"], CLEAR_FROM_DB)
    columns = {"accuracy": found["by_snr"]}
    noise = ""
    if "noise_called_noise" in found:
        noise = f" Noise alone is called noise in {_percent(found['noise_called_noise'])} of cases."
        columns["called noise"] = found["signal_called_noise_by_snr"]
    rows = {
        span: [_percent(value) for value in values] for span, *values in _bands(*columns.values())
    }
    if "snr_error_db_by_snr" in found:
        columns["error of its SNR"] = found["snr_error_db_by_snr"]
        for span, value in _bands(found["snr_error_db_by_snr"]):
            rows[span].append(f"{value:.1f} dB")
    accuracy = class_means(test, CLEAR_FROM_DB)
    trusted = trusted_from(test)
    return [
        f"Single frames with a signal in them: {_percent(found['overall'])} are called rightly, "
        f"{_percent(clear)} from {CLEAR_FROM_DB} dB SNR on.{noise}",
        "",
        "By true SNR (over the noise in the whole sampled band), and how far off the model's own "
        "estimate of it is on average:"
        if "snr_error_db_by_snr" in found
        else "By true SNR, over the noise in the whole sampled band:",
        "",
        *_table(["SNR (dB)", *columns], [[span, *values] for span, values in rows.items()]),
        "",
        "By oversampling, the sample rate over the signal's bandwidth:",
        "",
        *_table(
            list(found["by_oversampling"]),
            [[_percent(value) for value in found["by_oversampling"].values()]],
        ),
        "",
        f"By class: accuracy from {CLEAR_FROM_DB} dB on, and the SNR from which on at least "
        f"{100 * _TRUSTED:.0f} % of its frames are called rightly, at every SNR above too (each a "
        f"mean over labels within {_NEIGHBOURS} dB, as a class has few frames at one label). Votes "
        "over several frames are right more often.",
        "",
        *_table(
            ["class", f"from {CLEAR_FROM_DB} dB", "trusted from"],
            [[name, _percent(accuracy[name]), _decibels(trusted[name])] for name in signals],
        ),
        "",
        f"What it confuses most from {CLEAR_FROM_DB} dB on: "
        f"{_confusions(found[f'confusion_from_{CLEAR_FROM_DB}_db'], test['classes'])}.",
    ]


def trusted_from(test: dict[str, Any]) -> dict[str, int | None]:
    """By class the lowest SNR label from which on its accuracy stays at 80 % or above; None if it
    is below that at the highest.

    Accuracy is the mean over the labels within ±2 dB, of as many frames each.
    """
    labels = np.array(test["snr_labels"])
    found: dict[str, int | None] = {}
    for name, row in test["by_class"].items():
        accuracy = np.array([np.nan if value is None else value for value in row])
        lowest = None
        for label in labels[::-1]:
            if not np.nanmean(accuracy[np.abs(labels - label) <= _NEIGHBOURS]) >= _TRUSTED:
                break
            lowest = int(label)
        found[name] = lowest
    return found


def _decibels(label: int | None) -> str:
    return "never" if label is None else f"{label} dB"


def _bands(*columns: dict[str, float]) -> list[tuple[Any, ...]]:
    """Means of ``columns``, values by SNR label, over bands of labels: (band, mean, …)."""
    labels = [int(label) for label in columns[0]]
    starts = sorted({label - label % _BAND for label in labels})
    if len(starts) > 1 and labels[-1] == starts[-1]:
        starts.pop()  # the highest label alone goes to the band below
    rows = []
    for at, start in enumerate(starts):
        end = starts[at + 1] if at + 1 < len(starts) else np.inf
        inside = [label for label in labels if start <= label < end]
        means = (float(np.mean([column[str(k)] for k in inside])) for column in columns)
        rows.append((f"{inside[0]} to {inside[-1]}", *means))
    return rows


def _from(by_snr: dict[str, float], lowest: int) -> float:
    """The mean of values by SNR label from ``lowest`` on; of all if none is that high."""
    chosen = [value for label, value in by_snr.items() if int(label) >= lowest]
    return float(np.mean(chosen or list(by_snr.values())))


def _error_by_snr(test: dict[str, Any]) -> str:
    if "received" not in test:
        return ""
    found = test["received"]
    above = {label: value for label, value in found["ece_by_snr"].items() if int(label) > 0}
    told = f" Of frames with a signal: {found['ece']:.4f}"
    if not above:
        return told + "."
    worst = max(above, key=above.__getitem__)
    chance = found["ece_by_chance_by_snr"][worst]
    return (
        f"{told}; at worst {above[worst]:.4f} at one SNR label above 0 dB ({worst} dB), where the "
        f"number of frames alone would give {chance:.4f}; the mean over those labels is "
        f"{np.mean(list(above.values())):.4f}, where it would be "
        f"{np.mean([found['ece_by_chance_by_snr'][label] for label in above]):.4f}."
    )


def _unknown(told: dict[str, Any] | None) -> list[str]:
    if not told:
        return []
    by_class = ", ".join(f"{name} {value:.3f}" for name, value in told["auroc_by_class"].items())
    return [
        "## What is none of its classes",
        "",
        f"The output `unknown_score` ({told['score']}) is above the threshold "
        f"{told['threshold']:g} in {_percent(told['false_rejection_on_test'])} of the test frames "
        f"of its own classes. At SNR labels from {told['from_db']} dB a frame of "
        f"`{told['data']}`, whose classes no "
        f"training has seen, scores higher than one of its own with probability "
        f"{told['auroc']:.3f} ({by_class}).",
        "",
    ]


def _augmentation(settings: dict[str, Any]) -> str:
    kinds = []
    if settings["rotation"]:
        kinds.append("turned by any angle")
    if settings["conjugation"]:
        kinds.append("conjugated every other time")
    if settings.get("reversal"):
        kinds.append("reversed in time every other time")
    if settings["carrier_offset"]:
        kinds.append(f"shifted by up to ±{settings['carrier_offset']:g} of the sample rate")
    if settings["receiver_filter"]:
        kinds.append(
            f"low-passed like a narrower receiver in {100 * settings['receiver_filter']:.0f} % "
            "of cases"
        )
    if settings.get("limiting"):
        kinds.append(
            f"limited in amplitude, as by a fast automatic gain, in "
            f"{100 * settings['limiting']:.0f} % of cases"
        )
    if settings.get("noise"):
        kinds.append(f"given more noise in {100 * settings['noise']:.0f} % of cases")
    if settings.get("noise_rise"):
        kinds.append(f"given noise of any strength within {settings['noise_rise']:g} dB")
    if settings.get("strangers"):
        kinds.append(
            f"made into signals of no class in up to {100 * settings['strangers']:.0f} % of cases"
        )
    if not kinds:
        return "Training frames were used as they are."
    return f"Training frames were {', '.join(kinds)}; test frames are as generated."


def class_means(test: dict[str, Any], from_label: int) -> dict[str, float]:
    """Accuracy by class, averaged over the SNR labels from ``from_label`` on; NaN if there are
    none."""
    chosen = [k for k, value in enumerate(test["snr_labels"]) if value >= from_label]
    if not chosen:
        return dict.fromkeys(test["by_class"], math.nan)
    return {
        name: float(np.mean([row[k] for k in chosen])) for name, row in test["by_class"].items()
    }


def _from_0_db(test: dict[str, Any]) -> float:
    table = np.array(test["confusion_from_0_db"])
    return float(np.trace(table) / table.sum())


def _confusions(counts: list[list[int]], names: list[str]) -> str:
    table = np.array(counts, float)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0.0)
    worst = np.argsort(share, axis=None)[::-1][:_CONFUSIONS]
    pairs = [np.unravel_index(index, share.shape) for index in worst]
    told = [
        f"{names[i]} called {names[j]} ({_percent(share[i, j])})"
        for i, j in pairs
        if share[i, j] >= _LEAST_CONFUSION
    ]
    return ", ".join(told) or "nothing above 2 %"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _range(pair: list[float]) -> str:
    low, high = (f"{value:g}" for value in pair)
    return low if low == high else f"{low} to {high}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    body = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(row) + " |" for row in body]
