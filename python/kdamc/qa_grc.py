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
from gnuradio import gr_unittest, kdamc
from gnuradio.grc.core.schema_checker import BLOCK_SCHEME, Validator

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

    def test_examples_compile_and_run(self):
        self.assertTrue(EXAMPLES)
        environment = {**os.environ, "GRC_BLOCKS_PATH": str(TOP / "grc")}
        with tempfile.TemporaryDirectory() as folder:
            for path in EXAMPLES:
                subprocess.run(
                    ["grcc", "-o", folder, str(path)],
                    check=True,
                    capture_output=True,
                    env=environment,
                )
            done = subprocess.run(
                [sys.executable, "-u", f"{folder}/qpsk_to_labels_headless.py"],
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        labels = [line.split("(label . ")[1].split(")")[0] for line in done.stdout.splitlines()
                  if "(label . " in line]  # fmt: skip
        self.assertGreaterEqual(len(labels), 10)
        self.assertEqual(set(labels), {"QPSK"})


if __name__ == "__main__":
    gr_unittest.run(qa_grc)
