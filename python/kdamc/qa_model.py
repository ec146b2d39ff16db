#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model contract: what opens, what is refused and why, what runs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gnuradio import gr_unittest
from gnuradio.kdamc.contract import Fusion, ModelError
from gnuradio.kdamc.model import MODEL_PATH_VARIABLE, installed_models, open_model
from qa_support import axis_signal, write_model


def frames(pattern, frame_len=16):
    """(n, 2, L) frames of RMS 1 on the axes that ``pattern`` names."""
    x = axis_signal(pattern, frame_len).reshape(len(pattern), frame_len)
    x = np.stack([x.real, x.imag], axis=1)
    return x / np.sqrt((x**2).sum(axis=(1, 2), keepdims=True) / frame_len)


class qa_model(gr_unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def refused(self, reason, path, **settings):
        with self.assertRaises(ModelError) as caught:
            open_model(path, **settings)
        text = str(caught.exception)
        self.assertIn(reason, text)
        self.assertNotIn("\n", text)

    def test_runs_and_calibrates(self):
        path = write_model(self.dir / "m.onnx", metadata={"temperature": "2.0"})
        model = open_model(path)
        self.assertEqual(model.name, "m")
        self.assertEqual(model.classes, ("I", "Q"))
        self.assertEqual(model.input_size, 16)
        out = model.run(frames("IQQI"))
        np.testing.assert_allclose(out.logits, [[4, 0], [0, 4], [0, 4], [4, 0]], atol=1e-5)
        self.assertIsNone(out.snr_db)
        posteriors = np.exp(model.log_posteriors(out.logits))
        self.assertAlmostEqual(posteriors[0, 0], 1 / (1 + np.exp(-2.0)), places=5)
        np.testing.assert_allclose(posteriors.sum(axis=1), 1, atol=1e-6)

    def test_optional_outputs(self):
        path = write_model(self.dir / "m.onnx", extra_outputs=True)
        out = open_model(path).run(frames("IQ"))
        np.testing.assert_allclose(out.snr_db, [10, 10], atol=1e-5)
        np.testing.assert_allclose(out.unknown_score, [0, 4], atol=1e-5)

    def test_third_party_files_by_naming_what_they_lack(self):
        path = write_model(self.dir / "m.onnx", classes=None, layout="nlc", softmax=True)
        self.refused("does not name its classes", path)
        self.refused("layout", path, classes="I,Q")
        self.refused("input_size", path, classes="I,Q", layout="nlc", input_size=32)
        model = open_model(path, classes="I,Q", layout="nlc", output="probabilities")
        out = model.run(frames("IQ"))
        posteriors = np.exp(model.log_posteriors(out.logits))
        self.assertAlmostEqual(posteriors[0, 0], 1 / (1 + np.exp(-4.0)), places=5)

    def test_normalise_modes(self):
        path = write_model(self.dir / "m.onnx", gain=1.0)
        x = frames("IQ")
        power = np.array([9.0, 4.0], np.float32)
        magnitude = np.abs(x[:, 0] + 1j * x[:, 1])
        for mode, gain in (
            ("rms", np.ones(2)),
            ("none", power),
            ("l1", 1 / magnitude.sum(axis=1) ** 2),
            ("peak", 1 / magnitude.max(axis=1) ** 2),
        ):
            logits = open_model(path, normalise_mode=mode).run(x, power).logits
            np.testing.assert_allclose(logits.max(axis=1), gain, rtol=1e-4)
        with self.assertRaises(ModelError):
            open_model(path, normalise_mode="none").run(x)

    def test_explicit_beats_metadata_beats_default(self):
        path = write_model(self.dir / "m.onnx", metadata={"temperature": "3"})
        self.assertEqual(open_model(path).info.temperature, 3)
        self.assertEqual(open_model(path, temperature=5).info.temperature, 5)
        self.assertEqual(open_model(path, classes=["a", "b"]).classes, ("a", "b"))
        self.assertIsNone(open_model(path).info.unknown_threshold)

    def test_refuses_broken_files_in_one_line(self):
        good = Path(write_model(self.dir / "m.onnx"))
        self.refused("no such model file", self.dir / "absent.onnx")
        self.refused("no such model; installed", "absent")
        empty = self.dir / "empty.onnx"
        empty.touch()
        self.refused("the file is empty", empty)
        cut = self.dir / "cut.onnx"
        cut.write_bytes(good.read_bytes()[:200])
        self.refused("not a usable ONNX model", cut)
        text = self.dir / "text.onnx"
        text.write_text("this is no model\n" * 100)
        self.refused("not a usable ONNX model", text)

    def test_refuses_contradictions(self):
        three = write_model(self.dir / "three.onnx", classes=("a", "b", "c"))
        self.refused("names 3 classes but gives 2 values", three)
        fixed = write_model(self.dir / "fixed.onnx", batch=1)
        self.refused("batch size is fixed at 1", fixed)
        for metadata, reason in (
            ({"kdamc.contract": "99"}, "contract version 99"),
            ({"classes": "[not json"}, "unreadable"),
            ({"classes": '["a", "a"]'}, "named twice"),
            ({"classes": '["a", "unknown"]'}, "reserved"),
            ({"classes": '["a"]'}, "at least two"),
            ({"normalise_mode": "loudness"}, "none of rms"),
            ({"temperature": "0"}, "temperature"),
            ({"temperature": "nan"}, "temperature"),
            ({"fusion_exponent": "1.5"}, "fusion_exponent"),
            ({"fusion_exponent_sure": "-0.1"}, "fusion_exponent_sure"),
            ({"fusion_mean_share": "2"}, "fusion_mean_share"),
            ({"input_size": "17"}, "input has shape"),
            ({"input_size": "-1"}, "impossible"),
            ({"history_depth": "3"}, "history_depth"),
            ({"samples_per_symbol": "[8, 4]"}, "no range"),
            ({"samples_per_symbol": "8"}, "pair"),
            ({"oversampling": "[2, -1]"}, "oversampling"),
        ):
            path = write_model(self.dir / "bad.onnx", metadata=metadata)
            self.refused(reason, path)

    def test_what_a_file_and_its_user_say_of_fusion(self):
        one = write_model(self.dir / "one.onnx", metadata={"fusion_exponent": "0.25"})
        self.assertEqual(open_model(one).info.fusion, Fusion(0.25, 0.25, 0.0))
        says = {
            "fusion_exponent": "0.25",
            "fusion_exponent_sure": "0.75",
            "fusion_mean_share": "0.5",
        }
        all_three = write_model(self.dir / "three.onnx", metadata=says)
        self.assertEqual(open_model(all_three).info.fusion, Fusion(0.25, 0.75, 0.5))
        chosen = open_model(all_three, fusion_exponent=0.4).info.fusion
        self.assertEqual(chosen, Fusion(0.4, 0.4, 0.0))

    def test_names_are_looked_up_in_the_model_path(self):
        write_model(self.dir / "mine.onnx")
        (self.dir / "default").write_text("mine\n")
        before = os.environ.get(MODEL_PATH_VARIABLE)
        os.environ[MODEL_PATH_VARIABLE] = str(self.dir)
        try:
            self.assertIn("mine", installed_models())
            self.assertEqual(open_model("mine").path, self.dir / "mine.onnx")
            self.assertEqual(open_model().name, "mine")
        finally:
            del os.environ[MODEL_PATH_VARIABLE]
            if before is not None:
                os.environ[MODEL_PATH_VARIABLE] = before

    def test_every_shipped_model_fulfils_the_contract(self):
        from gnuradio.kdamc import contract

        models = installed_models()
        self.assertTrue(models)
        for path in models.values():
            model = open_model(path)
            missing = [k for k in contract.REQUIRED_KEYS if k not in model.info.metadata]
            self.assertEqual(missing, [], path)
            self.assertTrue(path.with_suffix(".md").is_file(), f"{path} has no card")
        self.assertIn(open_model().path, models.values())

    def test_import_without_onnxruntime(self):
        """The module loads, and a model that is opened says what to install."""
        code = (
            "import sys; sys.modules['onnxruntime'] = None\n"
            "from gnuradio import kdamc\n"
            "kdamc.frame_slicer(128)\n"
            "try: kdamc.kd_amc_classifier(sys.argv[1])\n"
            "except kdamc.ModelError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, write_model(self.dir / "m.onnx")],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("pip install onnxruntime", done.stdout)


if __name__ == "__main__":
    gr_unittest.run(qa_model)
