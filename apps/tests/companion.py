# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts GNU Radio Companion with a flowgraph, as a user does, and reports what it says.

    /usr/bin/python3 companion.py FLOWGRAPH.grc [--run] [--picture FILE.png]

Prints GRC's own messages, with ``--run`` those of the flowgraph as well, which has to end by
itself.  The exit status is 0 if GRC finds the flowgraph valid (and its run ended with 0).
"""

import argparse
import os
import runpy
import shutil
import sys
import time
import traceback

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Gdk, GLib, Gtk  # noqa: E402

PERIOD_MS = 200
#: How long an open flowgraph has to be drawn: seconds.
SETTLED = 3.0


def show_category(tree, name):
    """Open a category of the block tree, and no other."""
    tree.collapse_all()
    model = tree.get_model()
    row = model.get_iter_first()
    while row is not None:
        if name in model.get_value(row, 0):
            tree.expand_row(model.get_path(row), True)
        row = model.iter_next(row)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("flowgraph")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    companion = shutil.which("gnuradio-companion")

    root = Gdk.get_default_root_window()
    size = root.get_width(), root.get_height()
    state = {"open": None, "process": None}

    def look():
        """The exit status, or None as long as there is more to come."""
        from gnuradio.grc.gui import Actions, Dialogs

        windows = [w for w in Gtk.Window.list_toplevels() if hasattr(w, "current_page")]
        page = windows[0].current_page if windows else None
        if page is None or not page.file_path:
            return None
        if state["open"] is None:
            state["open"] = time.monotonic()
            windows[0].resize(*size)  # without a window manager none is maximised
            for panel in (windows[0].CONSOLE, windows[0].VARIABLES):  # they name local paths
                windows[0].update_panel_visibility(panel, False)
            show_category(windows[0].btwin.treeview, "KD AMC")
        if not page.flow_graph.is_valid():
            for element, message in page.flow_graph.iter_error_messages():
                print(f"{element}: {message}")
            return 1
        if arguments.run:
            if state["process"] is None:
                # GRC takes what the flowgraph prints only where there is no terminal program.
                os.environ["GR_CONF_GRC_XTERM_EXECUTABLE"] = "none"
                Dialogs.show_missing_xterm = lambda *_: None  # waits for someone to press OK
                Actions.FLOW_GRAPH_EXEC()
                state["process"] = page.process
            elif page.process is None:
                return state["process"].returncode
            return None
        if time.monotonic() - state["open"] < SETTLED:
            return None
        if arguments.picture:
            Gdk.pixbuf_get_from_window(root, 0, 0, *size).savev(arguments.picture, "png", [], [])
        return 0

    def look_again():
        try:
            status = look()
        except BaseException:
            traceback.print_exc()
            status = 3
        if status is not None:
            # At once: nobody is there to answer whether a changed flowgraph is to be saved.
            sys.stdout.flush()
            os._exit(status)
        return True

    GLib.timeout_add(PERIOD_MS, look_again)
    sys.argv = [companion, arguments.flowgraph]
    runpy.run_path(companion, run_name="__main__")


if __name__ == "__main__":
    main()
