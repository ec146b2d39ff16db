#!/usr/bin/env python3
# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block files pass GRC's own checker; examples compile and run."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pmt
import yaml
from gnuradio import blocks, gr, gr_unittest, kdamc
from gnuradio.grc.core.schema_checker import BLOCK_SCHEME, Validator
from gnuradio.kdamc import contract
from gnuradio.kdamc.kd_amc_classifier import LIVE_SETTINGS
from qa_support import axis_signal, write_data_set, write_model

TOP = Path(__file__).resolve().parents[2]
BLOCKS = sorted((TOP / "grc").glob("*.block.yml"))
EXAMPLES = sorted((TOP / "examples").glob("*.grc"))
# What cannot change while a flowgraph runs: sizes of ports and buffers, files that are open, what
# a model is made with, what its results are held against.
FIXED = {
    "accuracy_sink": {"source", "json_file"},
    "frame_slicer": {"frame_len", "hop"},
    "kd_amc_classifier": {
        "mode", "queue_frames", "intra_op_threads", "spinning", "classes", "layout",
        "normalise_mode", "output", "input_size",
    },
    "kd_amc_display": {"gui_hint"},
    "kd_amc_spectrum": {"samp_rate", "bins", "update_time", "gui_hint"},
    "modulation_source": {"seed"},
    "onnx_classifier": {
        "model", "frame_len", "num_classes", "classes", "layout", "normalise_mode", "output",
    },
    "rml_source": {
        "file", "repeat", "samp_rate", "classes", "snr_low", "snr_high", "order", "seed",
    },
    "rms_normalizer": {"frame_len"},
    "signal_front_end": {
        "samp_rate", "model", "samples_per_symbol", "tune", "symbol_rate", "min_bandwidth",
        "ignore_dc", "audio", "ring_seconds",
    },
    "signal_scanner": {
        "model", "samp_rate", "mode", "max_signals", "ring_seconds", "min_bandwidth", "ignore_dc",
        "audio", "queue_frames", "classes", "layout", "normalise_mode", "output", "input_size",
    },
    "sigmf_annotation_sink": {"file", "recording", "samp_rate", "freq", "bandwidth"},
}  # fmt: skip
#: More do not fit a page of GRC's dialog without scrolling.
MOST_ON_A_TAB = 6

#: Runs the compiled example of the folder in its first argument.  Prints the seconds from the start
#: of the program, and from each use of the chooser, to the first of five right labels in a row.
WATCH = """
import sys, time
began = time.monotonic()
sys.path.insert(0, sys.argv[1])
from PyQt5.QtWidgets import QApplication
from sim_to_labels import sim_to_labels
application = QApplication(sys.argv)
flowgraph = sim_to_labels()
told = []
view = flowgraph.display.qwidget()
show = view.show_decision
view.show_decision = lambda d, *rest: (told.append((d.label, time.monotonic())), show(d, *rest))
chooser = flowgraph._modulation_combo_box
assert chooser.currentText() == 'QPSK'
for number, wanted in enumerate(('QPSK', 'BPSK', 'GFSK')):
    if number:
        began = time.monotonic()
        chooser.setCurrentText(wanted)
    else:
        flowgraph.start()
        flowgraph.show()
    told.clear()
    while [label for label, _ in told[-5:]] != 5 * [wanted]:
        assert time.monotonic() < began + 60, (wanted, told[-5:])
        application.processEvents()
        time.sleep(0.01)
    print(wanted, round(told[-5][1] - began, 2))
flowgraph.stop()
flowgraph.wait()
"""


def block_files():
    """(name of the block, what its file says), of every block file."""
    for path in BLOCKS:
        block = yaml.safe_load(path.read_text())
        yield block["id"].removeprefix("kdamc_"), block


def grcc(folder, flowgraph):
    """Compile a flowgraph."""
    done = subprocess.run(
        ["grcc", "-o", str(folder), str(flowgraph)],
        capture_output=True,
        text=True,
        env={**os.environ, "GRC_BLOCKS_PATH": str(TOP / "grc")},
    )
    if done.returncode:
        raise AssertionError(f"{flowgraph.name} does not compile: {done.stdout}{done.stderr}")


def section(block, name):
    """Lines of a part of a block's documentation."""
    return re.search(rf"^{name}:\n((?: .*\n|\n)+)", block["documentation"] + "\n", re.M)[1]


def documented_keys(block, port):
    """What a block's documentation says is in the messages of a port."""
    text = re.search(rf"^ +{port}: (.*)", section(block, "Messages"), re.M)[1]
    listed = re.sub(r" \(.*?\)", "", text).split(": ", 1)[1]
    return Counter(re.split("[.;]", listed)[0].split(", "))


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

    def test_settings_are_live_or_cannot_be(self):
        for name, block in block_files():
            callbacks = block["templates"].get("callbacks", [])
            live = {re.search(r"\$\{(\w+)\}", callback)[1] for callback in callbacks}
            settings = {parameter["id"] for parameter in block["parameters"]}
            self.assertEqual(settings - live, FIXED[name], name)
            setters = {method for method in vars(getattr(kdamc, name)) if method[:4] == "set_"}
            self.assertEqual({callback.split("(")[0] for callback in callbacks}, setters, name)
            if name == "kd_amc_classifier":
                self.assertEqual(setters, {f"set_{setting}" for setting in LIVE_SETTINGS})
                self.assertEqual(documented_keys(block, "command"), Counter(LIVE_SETTINGS))

    def test_dialogs_say_what_there_is(self):
        for name, block in block_files():
            tabs = Counter(p.get("category") for p in block["parameters"])
            self.assertLessEqual(max(tabs.values()), MOST_ON_A_TAB, name)
            described = section(block, "Parameters")
            for parameter in block["parameters"]:
                label = parameter["label"].split(" (")[0]
                self.assertRegex(described, rf"(?m)^ +{label}: \S", name)
            ports = block.get("inputs", []) + block.get("outputs", [])
            for port in ports:
                if port["domain"] == "message":
                    self.assertRegex(section(block, "Messages"), rf"(?m)^ +{port['id']}: ", name)
            for direction, way in (("Input", "inputs"), ("Output", "outputs")):
                streams = [p for p in block.get(way, []) if p["domain"] == "stream"]
                self.assertEqual("None" in section(block, direction), not streams, name)
            for expression in block.get("asserts", []):
                self.assertRegex(expression, "# [A-Z].* must ", name)

    def test_choices_are_what_there_is(self):
        blocks_by_name = dict(block_files())

        def options(name, setting):
            parameters = {p["id"]: p for p in blocks_by_name[name]["parameters"]}
            return tuple(parameters[setting]["options"])

        for name in ("kd_amc_classifier", "onnx_classifier", "signal_scanner"):
            self.assertEqual(options(name, "layout"), ("", *contract.LAYOUTS))
            self.assertEqual(options(name, "normalise_mode"), ("", *contract.NORMALISE_MODES))
            self.assertEqual(options(name, "output"), ("", *contract.OUTPUTS))
        modulations = kdamc.modulation_source.modulations()
        self.assertEqual(options("modulation_source", "modulation"), modulations)
        with open(TOP / "examples" / "sim_to_labels.grc") as file:
            example = {block["name"]: block for block in yaml.safe_load(file)["blocks"]}
        chosen = example["modulation"]["parameters"]["options"]
        self.assertEqual(tuple(ast.literal_eval(chosen)), modulations)

    def test_messages_hold_what_the_dialogs_say(self):
        folder, length = Path(self.compiled.name), 16
        model = write_model(folder / "axes.onnx", length)
        x = axis_signal("IQ" * 50, length).reshape(-1, length)
        data = write_data_set(
            folder / "axes.h5",
            np.stack([x.real, x.imag], axis=1),
            np.arange(100) % 2,
            np.zeros(100),
        )
        source = kdamc.rml_source(data, repeat=True, throttle=True, sample_rate=1e4, pdus=True)
        classifier = kdamc.kd_amc_classifier(
            model, rx_time=1.0, publish_frames=True, decision_frames=4, stats_interval=0.1
        )
        slicer, normalizer = kdamc.frame_slicer(length), kdamc.rms_normalizer(length)
        network = kdamc.onnx_classifier(model)
        sink = kdamc.accuracy_sink(source, stats_interval=0.1)
        tb = gr.top_block()
        tb.connect(source, classifier)
        tb.connect(source, slicer, normalizer, network)
        tb.msg_connect(classifier, "frames", sink, "frames")
        stores = {}
        for block, port in (
            (source, "pdus"),
            (classifier, "decisions"),
            (classifier, "frames"),
            (classifier, "stats"),
            (network, "frames"),
            (sink, "stats"),
        ):
            store = stores[type(block).__name__, port] = blocks.message_debug()
            tb.msg_connect(block, port, store, "store")
        tb.start()
        try:
            limit = time.monotonic() + 60
            while not all(store.num_messages() for store in stores.values()):
                self.assertLess(time.monotonic(), limit, "waited too long")
                time.sleep(0.01)
        finally:
            tb.stop()
            tb.wait()
        blocks_by_name = dict(block_files())
        for (name, port), store in stores.items():
            message = store.get_message(0)
            meta = message if pmt.is_dict(message) else pmt.car(message)
            keys = pmt.dict_keys(meta)
            keys = [pmt.to_python(pmt.nth(k, keys)) for k in range(pmt.length(keys))]
            self.assertEqual(documented_keys(blocks_by_name[name], port), Counter(keys), name)

    def test_blocks_work_together_as_they_are_dropped(self):
        """With their defaults, but for those that need a file or a window."""
        state = {"coordinate": [8, 8], "rotation": 0, "state": "enabled"}
        options = {"id": "untouched", "title": "Untouched", "generate_options": "no_gui"}
        frame, frames = kdamc.open_model().input_size, 40
        settings = {
            "samp_rate": {"id": "variable", "value": "200e3"},
            "head": {"id": "blocks_head", "type": "complex", "num_items": str(frame * frames)},
            "logits": {
                "id": "blocks_null_sink", "type": "float",
                "vlen": str(len(kdamc.open_model().classes)),
            },
        }  # fmt: skip
        for name in (
            "modulation_source", "frame_slicer", "rms_normalizer", "onnx_classifier",
            "signal_front_end", "kd_amc_classifier", "signal_scanner",
        ):  # fmt: skip
            settings[name] = {"id": f"kdamc_{name}"}
        listed = [
            {"name": name, "id": values.pop("id"), "parameters": values, "states": state}
            for name, values in settings.items()
        ]
        chains = (
            ("modulation_source", "head", "frame_slicer", "rms_normalizer", "onnx_classifier",
             "logits"),
            ("head", "signal_front_end", "kd_amc_classifier"),
            ("head", "signal_scanner"),
        )  # fmt: skip
        flowgraph = {
            "options": {"parameters": options, "states": state},
            "blocks": listed,
            "connections": [
                [before, "0", after, "0"] for chain in chains for before, after in pairwise(chain)
            ],
            "metadata": {"file_format": 1},
        }
        folder = Path(self.compiled.name)
        (folder / "untouched.grc").write_text(yaml.safe_dump(flowgraph))
        grcc(folder, folder / "untouched.grc")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        top_block = importlib.import_module("untouched").untouched()
        top_block.run()
        for name in settings:
            self.assertIsNone(getattr(getattr(top_block, name), "error", None), name)
        self.assertEqual(top_block.logits.nitems_read(0), frames)

    def test_tree_names_every_block(self):
        tree = (TOP / "grc" / "kdamc.tree.yml").read_text()
        for path in BLOCKS:
            self.assertIn(path.name.removesuffix(".block.yml"), tree)

    @classmethod
    def setUpClass(cls):
        """Compile all examples, those that need a radio too."""
        cls.compiled = tempfile.TemporaryDirectory()
        for path in EXAMPLES:
            grcc(cls.compiled.name, path)

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
        readme = (TOP / "README.md").read_text()
        for path in EXAMPLES:
            self.assertTrue(Path(self.compiled.name, f"{path.stem}.py").is_file(), path.name)
            comment = yaml.safe_load(path.read_text())["options"]["parameters"]["comment"]
            self.assertGreater(len(comment), 200, path.name)
            self.assertIn(f"`{path.name}`", readme)

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

    def test_variables_change_the_classifier_while_it_runs(self):
        """By the callbacks of the flowgraph that GRC generates; offline no frame is lost."""
        folder = Path(self.compiled.name)
        flowgraph = yaml.safe_load((TOP / "examples" / "file_replay.grc").read_text())
        flowgraph["options"]["parameters"]["id"] = "changing"
        parameters = {block["name"]: block["parameters"] for block in flowgraph["blocks"]}
        parameters["recording"]["repeat"] = "True"
        for name, setting, value in (
            ("network", "model", "''"),
            ("gate", "gate_db", "-200"),
            ("threshold", "unknown_threshold", "-1"),
        ):
            flowgraph["blocks"].append(
                {"name": name, "id": "variable", "parameters": {"value": value},
                 "states": flowgraph["blocks"][0]["states"]}
            )  # fmt: skip
            parameters["classifier"][setting] = name
        (folder / "changing.grc").write_text(yaml.safe_dump(flowgraph))
        grcc(folder, folder / "changing.grc")
        recording = folder / "loud.cf32"
        axis_signal("I" * 1000, 128).tofile(recording)
        broken = folder / "broken.onnx"
        broken.write_bytes(b"nothing")
        other = write_model(folder / "other.onnx", 128)

        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        top_block = importlib.import_module("changing").changing(file=str(recording))
        stats = top_block.classifier.stats

        def wait_for(condition):
            limit = time.monotonic() + 60
            while not condition():
                self.assertLess(time.monotonic(), limit, "waited too long")
                time.sleep(0.01)

        def more(counter):
            seen = stats()[counter]
            wait_for(lambda: stats()[counter] > seen)

        first = top_block.classifier.model()
        top_block.start()
        try:
            more("decisions")
            top_block.set_network(str(broken))
            more("decisions")
            self.assertEqual(top_block.classifier.model(), first)
            top_block.set_network(other)
            wait_for(lambda: top_block.classifier.model() == "other")
            top_block.set_threshold(0.5)
            more("decisions")
            top_block.set_gate(50)
            more("gated")
        finally:
            top_block.stop()
            top_block.wait()
        counted = stats()
        self.assertIsNone(top_block.classifier.error)
        self.assertEqual(counted["frames_in"], counted["classified"] + counted["gated"])
        self.assertEqual(counted["dropped"], 0)

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
        """As a user does it: the window opens, labels come, and follow the chooser."""
        screen = ["xvfb-run", "-a"] if shutil.which("xvfb-run") else []
        platform = {} if screen else {"QT_QPA_PLATFORM": "offscreen"}
        done = subprocess.run(
            [*screen, sys.executable, "-c", WATCH, self.compiled.name],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, **platform, "HOME": self.compiled.name},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        waited = [float(line.split()[1]) for line in done.stdout.splitlines()]
        self.assertEqual(len(waited), 3, done.stdout)
        print("labels right after", done.stdout.replace("\n", " s, "))
        # What is promised is 5 s, on a machine that has a processor to spare: there it takes one
        # or two. One that is busy with other things, as test machines are, may take longer.
        self.assertLess(max(waited), 8 * 5.0)


if __name__ == "__main__":
    gr_unittest.run(qa_grc)
