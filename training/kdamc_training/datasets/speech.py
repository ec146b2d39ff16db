# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic speech with pauses, for the analogue modulations.

The genuine RML2016.10A modulates the first 0.23 s of a podcast, more than half of it silent, and
that share of silence decides how hard the set is: in a pause WBFM and AM-DSB are the same bare
carrier. Here espeak-ng reads our own words, and a gate turns the quietest part of what it says
into digital silence. Training and test speech share neither a text nor a voice.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from functools import lru_cache

import numpy as np

from ..errors import UserError

RATE = 44100
SILENCE_SHARE = 0.57
"""Share of the samples that are digital silence."""

LEVEL_RANGE_DB = 20.0
"""Excerpts are played at full level or up to so much below it."""

SPLITS = ("train", "test")

_VOICES = {
    "train": (
        ("en-us", 165),
        ("en-gb-scotland+f3", 150),
        ("en-gb-x-rp+m3", 175),
        ("en-us+f2", 140),
        ("en-gb+m7", 155),
    ),
    "test": (
        ("en-029", 160),
        ("en-gb-x-gbcwmd+f4", 150),
        ("en-us-nyc+m4", 170),
    ),
}

_TEXTS = {
    "train": """
The harbour was quiet when the morning ferry came in, and nobody on the quay looked up. A boy
carried two crates of lemons past the ticket office. He counted the steps as he went: eleven,
twelve, thirteen. Where the road bends towards the market, an old woman sells thread, needles and
buttons from a folding table. Ask her about the weather and she will tell you about her brother,
who once measured the height of every chimney in town. Nobody knows why he did it. Perhaps he
liked to look at the sky through something square.

To set the clock, loosen the brass screw behind the dial. Turn it slowly. If the pendulum swings
too fast, lower the weight by the width of a thumb; if it swings too slowly, raise it. Wait for a
whole day before you judge. Good clocks are patient, and they expect the same from you.

Our neighbours keep bees on the roof. In June the whole staircase smells of honey and smoke. Last
year they gave us three jars, and we gave them a ladder, which seemed fair to everyone. When it
rains the bees stay at home. So do we. We play cards at the kitchen table until the light goes,
and the loser washes the cups.

Questions for tomorrow: How deep is the lake? Which of the valves is older? Could a bicycle cross
the ridge before the snow? Write the answers on yellow paper, fold each sheet twice, and leave
them under the blue stone. Thank you. Goodbye, and mind the dog.
""",
    "test": """
Before the orchestra plays, one oboe gives the note, and sixty people agree with it. That is the
part of the evening I enjoy most. My cousin prefers the interval, because of the sandwiches. We
have argued over this for nine years without either of us giving way.

From the window of the train you can see four rivers in a single hour. The first is brown and
hurried. The next one hardly moves. Of the third you notice only the bridge, and the fourth is so
wide that visitors think they have reached the sea. Keep your ticket until the last station;
someone in a green cap may want to see it.

Recipe: soak the beans overnight. Fry an onion with cumin, add a spoon of vinegar, then cover
everything with water and forget it until noon. Salt goes in at the end. If guests arrive early,
hand them a knife and some parsley. Hungry hands work quickly.

Does the museum open on Thursdays? It does, although the room with the maps is closed for
repair. Go up to the gallery instead, where a painter has drawn every window of his street at
midnight. Two are lit. Underneath he wrote, in very small letters, that he was one of them.
""",
}


def _synthesise(voice: str, words_a_minute: int, text: str) -> np.ndarray:
    """Speech at RATE, float64 in [-1, 1). Raises UserError if espeak-ng is missing or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise UserError("espeak-ng is not installed: it speaks for the analogue modulations")
    run = subprocess.run(
        [program, "-v", voice, "-s", str(words_a_minute), "--stdout"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if run.returncode != 0:
        reason = run.stderr.decode(errors="replace").strip() or f"status {run.returncode}"
        raise UserError(f"espeak-ng failed for voice {voice}: {reason}")
    from scipy.signal import resample_poly

    with wave.open(io.BytesIO(run.stdout)) as recording:
        rate = recording.getframerate()
        # The header of a stream gives no true length, so take all the bytes there are.
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    return resample_poly(samples / 32768.0, RATE // np.gcd(RATE, rate), rate // np.gcd(RATE, rate))


def gate(speech: np.ndarray, silence_share: float) -> np.ndarray:
    """Silence the quietest ``silence_share`` of ``speech`` (float, at RATE); same shape out.

    Loudness is the RMS over 20 ms; what stays open fades in and out within 2 ms.
    """
    from scipy.ndimage import distance_transform_edt, uniform_filter1d

    loudness = uniform_filter1d(speech**2, int(0.020 * RATE))
    is_open = loudness > np.quantile(loudness, silence_share)
    ramp = distance_transform_edt(is_open) / (0.002 * RATE)
    return speech * np.minimum(ramp, 1.0)


@lru_cache(maxsize=2)
def recording(split: str) -> np.ndarray:
    """All the speech of one split ("train" or "test"), gated, int16 at RATE samples a second.

    The same bytes every time for one version of espeak-ng. Raises UserError for another split.
    """
    if split not in SPLITS:
        raise UserError(f"speech {split!r} is not one of {', '.join(SPLITS)}")
    spoken = [
        _synthesise(voice, words_a_minute, _TEXTS[split])
        for voice, words_a_minute in _VOICES[split]
    ]
    track = gate(np.concatenate(spoken), SILENCE_SHARE)
    return np.clip(np.rint(track * 32767.0), -32768, 32767).astype(np.int16)


def excerpt(split: str, rng: np.random.Generator, length: int) -> np.ndarray:
    """``length`` samples from a random place at a random level, float32 within ±0.5.

    int16 over 65535, as in 2016, then 0 to 20 dB less: CGDNet, trained on the genuine set, takes
    speech at full level for WBFM half as often as it takes quieter speech.
    """
    track = recording(split)
    start = int(rng.integers(0, len(track) - length + 1))
    level = 10.0 ** (rng.uniform(-LEVEL_RANGE_DB, 0.0) / 20.0)
    return track[start : start + length].astype(np.float32) * np.float32(level / 65535.0)
