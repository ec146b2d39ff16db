#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The C++ kernel through its bindings: against NumPy, by properties, and its SNR by class."""

import numpy as np
from gnuradio import analog, blocks, digital, gr, gr_unittest
from gnuradio.kdamc import kdamc_python as kernel
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(x, frame_len, hop, gate):
    """What the kernel does, in NumPy."""
    starts = np.arange(0, len(x) - frame_len + 1, hop)
    frames = np.array([x[s : s + frame_len] for s in starts]).reshape(-1, frame_len)
    with np.errstate(all="ignore"):
        power = np.mean(np.abs(frames.astype(np.complex128)) ** 2, axis=1)
        finite = np.isfinite(frames).all(axis=1)
        flags = 1 * (power < gate) | 2 * (finite & (power == 0)) | 4 * ~finite
        good = frames[flags == 0] / np.sqrt(power[flags == 0])[:, None]
    return starts, power, flags, np.stack([good.real, good.imag], axis=1).astype(np.float32)


def run(x, frame_len, hop, gate, chunks, rows):
    """The whole of x through the kernel, in pieces."""
    k = kernel.FrameKernel(frame_len, hop, gate)
    found = []
    at = 0
    for chunk in chunks:
        piece = x[at : at + chunk]
        at += chunk
        while True:
            iq = np.empty((rows, 2, frame_len), np.float32)
            start = np.empty(rows, np.uint64)
            power, noise, snr = (np.empty(rows, np.float32) for _ in range(3))
            flags = np.empty(rows, np.uint8)
            consumed, listed, delivered = k.process(piece, iq, start, power, noise, snr, flags)
            found.append([a[:listed] for a in (start, power, noise, snr, flags)] + [iq[:delivered]])
            piece = piece[consumed:]
            if len(piece) == 0 and listed < rows:
                break
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


@st.composite
def streams(draw):
    n = draw(st.integers(1, 600))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = (random.standard_normal(n) + 1j * random.standard_normal(n)).astype(np.complex64)
    x *= np.float32(10.0 ** draw(st.integers(-8, 8)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, n - 1))
        x[at : at + draw(st.integers(1, 200))] = draw(
            st.sampled_from([0, np.nan, np.inf, complex(0, -np.inf)])
        )
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=6)))
    return x, np.diff([0, *cuts, n])


class qa_kernel(gr_unittest.TestCase):
    @settings(max_examples=300, deadline=None)
    @given(
        stream=streams(),
        frame_len=st.integers(1, 130),
        hop=st.integers(1, 200),
        gate=st.sampled_from([0.0, 0.5, 2.0]),
        rows=st.integers(1, 50),
    )
    def test_equals_numpy_for_any_chunking(self, stream, frame_len, hop, gate, rows):
        x, chunks = stream
        start, power, noise, snr, flags, iq = run(x, frame_len, hop, gate, chunks, rows)
        ref_start, ref_power, ref_flags, ref_iq = reference(x, frame_len, hop, gate)
        np.testing.assert_array_equal(start, ref_start)
        # A gate decides alike unless the power lies on it.
        clear = np.abs(ref_power - gate) > 1e-5 * gate
        np.testing.assert_array_equal((flags & 1)[clear], (ref_flags & 1)[clear])
        np.testing.assert_array_equal(flags & 6, ref_flags & 6)
        finite = ref_flags < 4
        np.testing.assert_allclose(power[finite], ref_power[finite], rtol=1e-5)
        if clear.all():
            np.testing.assert_allclose(iq, ref_iq, atol=2e-5)
        whole = run(x, frame_len, hop, gate, [len(x)], 1000)
        for one, other in zip(whole, (start, power, noise, snr, flags, iq), strict=True):
            self.assertEqual(one.tobytes(), other.tobytes())

    def test_refuses_what_does_not_fit(self):
        with self.assertRaises(ValueError):
            kernel.FrameKernel(128, 0)
        with self.assertRaises(ValueError):
            kernel.FrameKernel(0, 1)
        with self.assertRaises(ValueError):
            kernel.FrameKernel(128, 128, float("nan"))
        k = kernel.FrameKernel(8, 8)
        iq = np.empty((2, 2, 8), np.float32)
        rows = [np.empty(2, np.uint64)] + [np.empty(2, np.float32)] * 3 + [np.empty(2, np.uint8)]
        x = np.zeros(16, np.complex64)
        with self.assertRaises(TypeError):
            k.process(x.astype(np.complex128), iq, *rows)
        with self.assertRaises(ValueError):
            k.process(x, np.empty((2, 2, 9), np.float32), *rows)
        with self.assertRaises(ValueError):
            k.process(x, iq, rows[0][:1], *rows[1:])
        with self.assertRaises(TypeError):
            k.process(x[::2], iq, *rows)
        read_only = iq.copy()
        read_only.flags.writeable = False
        with self.assertRaises(ValueError):
            k.process(x, read_only, *rows)

    def test_snr_error_by_class(self):
        """The fused estimate of 100 frames of 128 samples, for 8 samples a symbol.

        A class for which the method does not hold must say so, not guess.
        """
        signals = oversampled_signals(12800)
        random = np.random.default_rng(5)
        noise = random.standard_normal((2, 12800)).view(np.float64)
        noise = (noise[0] + 1j * noise[1]) / np.sqrt(2)
        for name, x in signals.items():
            x = x / np.sqrt(np.mean(np.abs(x) ** 2))
            for snr in (0, 10, 20, 30):
                y = (x + noise * 10 ** (-snr / 20)).astype(np.complex64)
                _, power, floor, _, _, _ = run(y, 128, 128, 0.0, [len(y)], 200)
                known = np.isfinite(floor)
                self.assertGreater(known.mean(), 0.9, f"{name} at {snr} dB")
                estimate = kernel.snr_db(power[known].mean(), floor[known].mean(), 12800)
                self.assertLess(abs(estimate - snr), 1.0, f"{name} at {snr} dB: {estimate:.2f}")

    def test_no_snr_for_a_signal_that_fills_the_band(self):
        random = np.random.default_rng(6)
        symbols = np.exp(1j * np.pi / 2 * random.integers(0, 4, 12800))
        y = (symbols + 0.1 * random.standard_normal(12800)).astype(np.complex64)
        _, power, floor, snr, _, _ = run(y, 128, 128, 0.0, [len(y)], 200)
        # One sample a symbol looks like noise: power equals floor, and no SNR is claimed.
        self.assertLess(np.isfinite(snr).mean(), 0.05)
        known = np.isfinite(floor)
        self.assertTrue(np.isnan(kernel.snr_db(power[known].mean(), floor[known].mean(), 12800)))


def oversampled_signals(n):
    """Name -> n noise-free samples from GNU Radio's modulators, 8 samples a symbol."""
    random = np.random.default_rng(3)
    payload = random.integers(0, 256, n).astype(np.uint8).tolist()
    audio = np.convolve(random.standard_normal(n), np.ones(64) / 64, "same").astype(np.float32)

    def modulated(*chain, source=None):
        tb = gr.top_block()
        sink = blocks.vector_sink_c()
        tb.connect(
            source or blocks.vector_source_b(payload), *chain, blocks.head(8, n + 2000), sink
        )
        tb.run()
        return np.array(sink.data())[2000 : 2000 + n]

    def linear(constellation):
        return modulated(digital.generic_mod(constellation, False, 8, True, 0.35, False, False))

    return {
        "BPSK": linear(digital.constellation_bpsk().base()),
        "QPSK": linear(digital.constellation_qpsk().base()),
        "8PSK": linear(digital.constellation_8psk().base()),
        "QAM16": linear(digital.constellation_16qam().base()),
        "QAM64": linear(digital.qam.qam_constellation(64)),
        "GFSK": modulated(digital.gfsk_mod(8, 0.1, 0.35, False, False)),
        "AM": modulated(
            blocks.add_const_ff(1.0),
            blocks.float_to_complex(),
            source=blocks.vector_source_f(audio.tolist(), True),
        ),
        "NBFM": modulated(
            analog.frequency_modulator_fc(0.3), source=blocks.vector_source_f(audio.tolist(), True)
        ),
    }


if __name__ == "__main__":
    gr_unittest.run(qa_kernel)
