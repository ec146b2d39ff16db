#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block files pass GRC's own checker; examples compile and run."""

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from gnuradio import blocks, gr, gr_unittest, kdamc
from gnuradio.grc.core.schema_checker import BLOCK_SCHEME, Validator
from qa_support import write_model

TOP = Path(__file__).resolve().parents[2]
BLOCKS = sorted((TOP / "grc").glob("*.block.yml"))
EXAMPLES = sorted((TOP / "examples").glob("*.grc"))


class qa_grc(gr_unittest.TestCase):
    def test_block_files_pass_the_schema(self):
        self.assertGreaterEqual(len(BLOCKS), 4)
        for path in BLOCKS:
            validator = Validator(BLOCK_SCHEME)
            self.assertTrue(validator.run(yaml.safe_load(path.read_text())), validator.messages)
            self.assertEqual(validator.messages, [], path.name)

    def test_block_files_name_what_the_blocks_have(self):
        """Keywords of ``make`` are the constructor's, callbacks its methods, ids its file's."""
        for path in BLOCKS:
            block = yaml.safe_load(path.read_text())
            name = block["id"].removeprefix("kdamc_")
            self.assertEqual(path.name, f"kdamc_{name}.block.yml")
            cls = getattr(kdamc, name)
            make = block["templates"]["make"].split("%>\\\n")[-1]  # without a Mako block
            make = make.replace("${", "").replace("}", "")
            call = ast.parse(make).body[0].value
            known = cls.__init__.__code__.co_varnames[: cls.__init__.__code__.co_argcount]
            for keyword in call.keywords:
                self.assertIn(keyword.arg, known, path.name)
            for callback in block["templates"].get("callbacks", ()):
                self.assertTrue(hasattr(cls, callback.split("(")[0]), callback)
            for section in ("Input:", "Output:", "Parameters:", "Messages:"):
                self.assertIn(section, block["documentation"], path.name)

    def test_tree_names_every_block(self):
        tree = (TOP / "grc" / "kdamc.tree.yml").read_text()
        for path in BLOCKS:
            self.assertIn(path.name.removesuffix(".block.yml"), tree)

    @classmethod
    def setUpClass(cls):
        """Compile all examples, those that need a radio too."""
        cls.compiled = tempfile.TemporaryDirectory()
        environment = {**os.environ, "GRC_BLOCKS_PATH": str(TOP / "grc")}
        for path in EXAMPLES:
            done = subprocess.run(
                ["grcc", "-o", cls.compiled.name, str(path)],
                capture_output=True,
                text=True,
                env=environment,
            )
            if done.returncode:
                raise AssertionError(f"{path.name} does not compile: {done.stdout}{done.stderr}")

    @classmethod
    def tearDownClass(cls):
        cls.compiled.cleanup()

    def labels_of(self, name, *arguments):
        """Labels that a compiled example prints until it ends."""
        done = subprocess.run(
            [sys.executable, "-u", f"{self.compiled.name}/{name}.py", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return [line.split("(label . ")[1].split(")")[0] for line in done.stdout.splitlines()
                if "(label . " in line]  # fmt: skip

    def test_every_example_compiles_and_says_what_it_is(self):
        self.assertGreaterEqual(len(EXAMPLES), 8)
        for path in EXAMPLES:
            self.assertTrue(Path(self.compiled.name, f"{path.stem}.py").is_file(), path.name)
            comment = yaml.safe_load(path.read_text())["options"]["parameters"]["comment"]
            self.assertGreater(len(comment), 200, path.name)

    def test_qpsk_to_labels(self):
        labels = self.labels_of("qpsk_to_labels_headless")
        self.assertGreaterEqual(len(labels), 10)
        self.assertEqual(set(labels), {"QPSK"})

    def test_a_recording_is_replayed(self):
        recording = Path(self.compiled.name, "capture.cf32")
        tb = gr.top_block()
        source = kdamc.modulation_source("BPSK", snr_db=20.0)
        sink = blocks.file_sink(gr.sizeof_gr_complex, str(recording))
        head = blocks.head(gr.sizeof_gr_complex, 64 * 128 * 12)
        tb.connect(source, head, sink)
        tb.run()
        del sink, tb  # closes the file
        labels = self.labels_of("file_replay", "--file", str(recording))
        self.assertEqual(labels, ["BPSK"] * 12)

    def test_two_channels_share_a_model(self):
        labels = self.labels_of("two_channels_one_model")
        self.assertEqual(set(labels), {"BPSK", "GFSK"})
        # 3,125 frames each, by 64 and by 32; the message of the last, partial decision may be lost.
        self.assertIn(labels.count("BPSK"), (48, 49))
        self.assertIn(labels.count("GFSK"), (97, 98))

    def test_a_network_from_elsewhere(self):
        model = write_model(Path(self.compiled.name, "net.onnx"), 128, classes=None)
        labels = self.labels_of("custom_model", "--model", model, "--classes", "left,right")
        self.assertGreater(len(labels), 40)
        self.assertLessEqual(set(labels), {"left", "right", "unknown"})

    def test_the_simulated_radio_is_labelled_and_followed(self):
        code = (
            "import sys, time\n"
            "sys.path.insert(0, sys.argv[1])\n"
            "from PyQt5.QtWidgets import QApplication\n"
            "from sim_to_labels import sim_to_labels\n"
            "application = QApplication(sys.argv)\n"
            "flowgraph = sim_to_labels()\n"
            "told = []\n"
            "view = flowgraph.display.qwidget()\n"
            "show = view.show_decision\n"
            "view.show_decision = lambda d, *rest: (told.append(d.label), show(d, *rest))\n"
            "flowgraph.start()\n"
            "flowgraph.show()\n"
            "for wanted in ('QPSK', 'BPSK', 'GFSK'):\n"
            "    flowgraph.set_modulation(wanted)\n"
            "    limit = time.monotonic() + 60\n"
            "    while told[-5:] != 5 * [wanted]:\n"
            "        assert time.monotonic() < limit, (wanted, told[-5:])\n"
            "        application.processEvents()\n"
            "        time.sleep(0.01)\n"
            "flowgraph.stop()\n"
            "flowgraph.wait()\n"
            "print('followed')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, self.compiled.name],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        )
        self.assertIn("followed", done.stdout, done.stderr)


if __name__ == "__main__":
    gr_unittest.run(qa_grc)
