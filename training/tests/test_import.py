# Copyright 2026 gr-kdamc authors.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing: small files in the genuine formats, recordings, and what must be refused."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from kdamc_training.cli import main
from kdamc_training.datasets.dataset_file import SNR_UNKNOWN, DataSetFile
from kdamc_training.datasets.genuine import SETS, Part
from kdamc_training.datasets.importing import import_files
from kdamc_training.datasets.restricted_pickle import load_arrays
from kdamc_training.errors import UserError

LABELS = (-20, 18)


def frames(count: int, seed: int, length: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 2, length)).astype(np.float32)


def cells_of(name: str, count: int = 3) -> dict[tuple[str, int], np.ndarray]:
    """A small set of 2016, in the order of a Python 2 dictionary, which is none."""
    keys = [(c, label) for label in LABELS for c in reversed(SETS[name].classes)]
    return {key: frames(count, seed) for seed, key in enumerate(keys)}


# Pickles as Python 2's cPickle wrote them.


def python2_quoted(data: bytes) -> bytes:
    """repr() of a Python 2 string, which is that of Python 3's bytes without the b."""
    return repr(data)[1:].encode()


def protocol_0(cells: dict) -> bytes:
    """Text, which is what cPickle writes if no protocol is named: STRING, INT and PUT lines."""
    put = iter(range(1, 1 << 20))

    def string(data: bytes) -> bytes:
        return b"S" + python2_quoted(data) + b"\np%d\n" % next(put)

    out = b"(dp0\n"
    dtype = array_names = b""
    for (name, label), array in cells.items():
        out += b"(" + string(name.encode()) + b"I%d\ntp%d\n" % (label, next(put))
        if not dtype:
            numbers = [next(put) for _ in range(3)]
            out += b"cnumpy.core.multiarray\n_reconstruct\np%d\n" % numbers[0]
            out += b"(cnumpy\nndarray\np%d\n(I0\ntp%d\n" % tuple(numbers[1:])
            array_names = b"g%d\n(g%d\n(I0\ntp%%d\n" % tuple(numbers[:2])
        else:
            out += array_names % next(put)
        out += string(b"b") + b"tp%d\nRp%d\n" % (next(put), next(put))
        out += b"(I1\n(" + b"".join(b"I%d\n" % k for k in array.shape) + b"tp%d\n" % next(put)
        if not dtype:
            made = next(put)
            dtype = b"g%d\n" % made
            out += b"cnumpy\ndtype\np%d\n(" % next(put) + string(b"f4")
            out += b"I0\nI1\ntp%d\nRp%d\n(I3\n" % (next(put), made) + string(b"<")
            out += b"NNNI-1\nI-1\nI0\ntp%d\nb" % next(put)
        else:
            out += dtype
        out += b"I00\n" + string(array.tobytes()) + b"tp%d\nbs" % next(put)
    return out + b"."


def protocol_2(cells: dict) -> bytes:
    """Binary: BINSTRING, BININT and BINPUT; items in batches, memo numbers beyond 255."""
    put = iter(range(1, 1 << 20))

    def remember() -> bytes:
        number = next(put)
        return b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)

    def string(data: bytes) -> bytes:
        length = (
            b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))
        )
        return length + data + remember()

    def whole(value: int) -> bytes:
        return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)

    out = b"\x80\x02}q\x00("
    for (name, label), array in cells.items():
        out += string(name.encode()) + whole(label) + b"\x86" + remember()
        out += b"cnumpy.core.multiarray\n_reconstruct\n" + remember()
        out += b"cnumpy\nndarray\n" + remember() + b"K\x00\x85" + remember()
        out += string(b"b") + b"\x87" + remember() + b"R" + remember()
        out += b"(K\x01" + b"".join(map(whole, array.shape)) + b"\x87" + remember()
        out += b"cnumpy\ndtype\n" + remember() + string(b"f4") + b"K\x00K\x01\x87" + remember()
        out += b"R" + remember() + b"(K\x03" + string(b"<") + b"NNN" + 2 * whole(-1) + b"K\x00t"
        out += remember() + b"b\x89" + string(array.tobytes()) + b"t" + remember() + b"b"
    return out + b"u."


def python3(protocol: int):
    return lambda cells: pickle.dumps(cells, protocol)


@pytest.mark.parametrize(
    "write", [protocol_0, protocol_2, python3(0), python3(1), python3(2), python3(3), python3(4)]
)
def test_pickles_of_every_protocol(tmp_path, write):
    cells = cells_of("rml2016.10a")
    source, out = tmp_path / "RML2016.10a_dict.pkl", tmp_path / "a.h5"
    source.write_bytes(write(cells))
    assert import_files([source], out) == ("rml2016.10a", 66)
    with DataSetFile(out) as data:
        assert data.info.classes == SETS["rml2016.10a"].classes
        assert data.info.generator == "genuine RML2016.10A"
        assert data.info.options["source"] == source.name
        assert (data.info.sample_rate, data.info.samples_per_symbol) == (200e3, (8.0, 8.0))
        x, y, z = data.x[:], data.y[:], data.z[:]
        np.testing.assert_array_equal(data.pass_id[:], np.arange(66))
    np.testing.assert_array_equal(z[:6], [-20, -20, -20, 18, 18, 18])
    for index, name in enumerate(SETS["rml2016.10a"].classes):
        for label in LABELS:
            np.testing.assert_array_equal(x[(y == index) & (z == label)], cells[name, label])


@pytest.mark.parametrize("write", [protocol_0, protocol_2])
def test_hand_written_pickles_are_what_python_reads(write):
    cells = cells_of("rml2016.10b", 1)
    read = pickle.loads(write(cells), encoding="latin1")
    assert read.keys() == cells.keys()
    assert all((read[key] == cells[key]).all() for key in cells)


def test_keys_and_arrays_that_numpy_made(tmp_path):
    cells = {
        (name, np.int64(label)): np.asfortranarray(array.astype(">f8"))
        for (name, label), array in cells_of("rml2016.10b").items()
    }
    (tmp_path / "saved.pkl").write_bytes(pickle.dumps(cells, 2))
    assert import_files([tmp_path / "saved.pkl"], tmp_path / "a.h5") == ("rml2016.10b", 60)
    with DataSetFile(tmp_path / "a.h5") as data:
        np.testing.assert_array_equal(data.x[:3], cells["8PSK", -20].astype(np.float32))


def test_the_sets_of_2016_are_told_apart(tmp_path):
    for name, file in (
        ("rml2016.10b", "RML2016.10b.dat"),
        ("rml2016.04c", "2016.04C.multisnr.pkl"),
        ("rml2016.10b", "of no name 1"),
        ("rml2016.04c", "of no name 2"),
        ("rml2016.10a", "of no name 3"),
    ):
        cells = cells_of(name)
        if name == "rml2016.04c":
            cells["BPSK", 18] = cells["BPSK", 18][:1]
        (tmp_path / file).write_bytes(protocol_2(cells))
        made, count = import_files([tmp_path / file], tmp_path / "a.h5")
        assert made == name
        assert count == sum(map(len, cells.values()))
        other = "rml2016.10a" if name == "rml2016.10b" else "rml2016.10b"
        with pytest.raises(UserError, match="not the classes of"):
            import_files([tmp_path / file], tmp_path / "b.h5", name=other)


def test_a_part_of_a_pickle(tmp_path):
    cells = cells_of("rml2016.10a")
    source = tmp_path / "RML2016.10a_dict.pkl"
    source.write_bytes(protocol_2(cells))
    arguments = ["data", "import", str(source), str(tmp_path / "a.h5"), "--frames-per-cell", "2"]
    assert main([*arguments, "--snr=-20:0", "--classes", "WBFM, BPSK"]) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.info.classes == ("BPSK", "WBFM")
        np.testing.assert_array_equal(data.y[:], [0, 0, 1, 1])
        np.testing.assert_array_equal(data.x[2:], cells["WBFM", -20][:2])
        assert data.info.options["snr"] == [-20, 0]
    first = (tmp_path / "a.h5").read_bytes()
    os.utime(source, (1, 1))
    assert main([*arguments, "--snr=-20:0", "--classes", "BPSK,WBFM"]) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.info.options["classes_chosen"] == ["BPSK", "WBFM"]
    assert main([*arguments, "--snr=-20:0", "--classes", "WBFM, BPSK"]) == 0
    assert (tmp_path / "a.h5").read_bytes() == first


# What a pickle must not do.


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self._reduced = function, arguments

    def __reduce__(self):
        return self._reduced


def attacks() -> dict[str, bytes]:
    touch = "touch attacked"
    good = pickle.dumps(cells_of("rml2016.10b", 1), 2)
    return {
        "os.system": pickle.dumps(Calls(os.system, touch), 0),
        "os.system, protocol 4": pickle.dumps(Calls(os.system, touch), 4),
        "eval": b'cbuiltins\neval\n(S\'open("attacked", "w")\'\ntR.',
        "python 2 eval": b'c__builtin__\neval\n(S\'open("attacked", "w")\'\ntR.',
        "a function of numpy": b"cnumpy\nsave\n(S'attacked'\nI1\ntR.",
        "numpy runs strings": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\n(dtR.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x12core.os.system\x93.",
        "a name within an admitted module": b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        "a nested call": b"c_codecs\nencode\n(cos\nsystem\n(S'touch attacked'\ntRS'latin1'\ntR.",
        "another codec": b"c_codecs\nencode\n(V1\nVzip\ntR.",
        "encode what is no text": b"c_codecs\nencode\n(I1\nVlatin1\ntR.",
        "an array called": b"cnumpy\nndarray\n(I5\ntR.",
        "another class of array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\nt"
        b"S'b'\ntR.",
        "an array of objects": pickle.dumps({("BPSK", 0): np.array([Calls(os.system, touch)])}, 2),
        "a state of a dictionary": b"(d(dS'__class__'\nsb.",
        "inst": b"(S'touch attacked'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch attacked'\no.",
        "newobj": b"cos\nsystem\n(S'touch attacked'\nt\x81.",
        "extension": b"\x82\x01.",
        "persistent": b"Pid\n.",
        "after a good start": good[:-1] + b"cos\nsystem\n(S'touch attacked'\ntR0.",
        "structured": pickle.dumps({("A", 0): np.zeros(2, [("a", "f4")])}, 2),
    }


@pytest.mark.parametrize("name", attacks())
def test_malicious_pickles_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("RML2016.10a_dict.pkl").write_bytes(attacks()[name])
    with pytest.raises(UserError, match="not a pickle of a dictionary of arrays") as refused:
        import_files(["RML2016.10a_dict.pkl"], "out.h5")
    assert "\n" not in str(refused.value)
    assert os.listdir() == ["RML2016.10a_dict.pkl"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b".",
        b"I1\n.",
        b"(d.",
        b"(lp0\n.",
        pickle.dumps(["BPSK"]),
        pickle.dumps({"BPSK": np.zeros((1, 2, 128), np.float32)}),
        pickle.dumps({("BPSK", 0.5): np.zeros((1, 2, 128), np.float32)}),
        pickle.dumps({("BPSK", 0): np.zeros((1, 2, 128), np.complex64)}),
        pickle.dumps({("BPSK", 0): [1.0]}),
        b"T\xff\xff\xff\x7f",
        b"T\xff\xff\xff\xff",
        b"B\xff\xff\xff\xff",
        b"h\x05.",
        b"g5\n.",
        b"s.",
        b"t.",
        b"\x87.",
        b"NNb.",
        b"(" * 1_000_001,
        b"p" + b"1" * 1000 + b"\n.",
        b"\x8a\xff",
    ],
)
def test_pickles_of_something_else(tmp_path, content):
    path = tmp_path / "RML2016.10a_dict.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a pickle of a dictionary of arrays") as refused:
        load_arrays(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("write", [protocol_0, protocol_2, python3(4)])
def test_no_cut_or_flipped_pickle_gets_through_as_an_exception(tmp_path, write):
    whole = write(cells_of("rml2016.10b", 1))
    path = tmp_path / "a.pkl"
    rng = np.random.default_rng(3)
    for stop in [*rng.integers(0, len(whole) - 1, 20), len(whole) - 1]:
        path.write_bytes(whole[:stop])
        with pytest.raises(UserError):
            import_files([path], tmp_path / "a.h5")
        assert list(tmp_path.iterdir()) == [path]
    for at in rng.integers(0, 700, 60):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            import_files([path], tmp_path / "a.h5")
            (tmp_path / "a.h5").unlink()
        except UserError:
            pass
        assert list(tmp_path.iterdir()) == [path]


def broken_cells() -> dict[str, dict]:
    cells = cells_of("rml2016.10a", 1)
    bad = cells["BPSK", 18].copy()
    bad[0, 1, 5] = np.nan
    return {
        "BPSK at 18 dB: a sample is not a finite number": cells | {("BPSK", 18): bad},
        "have shape \\(2, 128\\)": cells | {("BPSK", 18): bad[0]},
        "have shape \\(1, 128, 2\\)": cells | {("BPSK", 18): bad.transpose(0, 2, 1)},
        "frames of 64, 128 samples": cells | {("BPSK", 18): bad[:, :, ::2]},
        "500 dB is no SNR label": cells | {("BPSK", 500): bad},
        "MSK.* not the classes": cells | {("MSK", 18): bad},
    }


@pytest.mark.parametrize("says", broken_cells())
def test_wrong_frames_in_a_pickle(tmp_path, says):
    path = tmp_path / "RML2016.10a_dict.pkl"
    path.write_bytes(pickle.dumps(broken_cells()[says], 2))
    with pytest.raises(UserError, match=says):
        import_files([path], tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == [path]


# RadioML 2018.01A.


def write_2018(path: Path, per_cell: int = 2, labels=(-20, 30), **damage) -> np.ndarray:
    classes = len(SETS["rml2018.01a"].classes)
    y = np.repeat(np.arange(classes), len(labels) * per_cell)
    z = np.tile(np.repeat(labels, per_cell), classes)
    x = np.random.default_rng(1).normal(size=(len(y), 1024, 2)).astype(np.float32)
    content = {"X": x, "Y": np.eye(classes, dtype=np.int64)[y], "Z": z[:, None]}
    with h5py.File(path, "w") as file:
        for name, values in (content | damage).items():
            file[name] = values
    return x


CORRECTED_ORDER = (
    "OOK",
    "4ASK",
    "8ASK",
    "BPSK",
    "QPSK",
    "8PSK",
    "16PSK",
    "32PSK",
    "16APSK",
    "32APSK",
    "64APSK",
    "128APSK",
    "16QAM",
    "32QAM",
    "64QAM",
    "128QAM",
    "256QAM",
    "AM-SSB-WC",
    "AM-SSB-SC",
    "AM-DSB-WC",
    "AM-DSB-SC",
    "FM",
    "GMSK",
    "OQPSK",
)


def test_2018_in_the_corrected_order(tmp_path):
    source = tmp_path / "GOLD_XYZ_OSC.0001_1024.hdf5"
    x = write_2018(source)
    assert import_files([source], tmp_path / "a.h5") == ("rml2018.01a", 96)
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.info.classes == CORRECTED_ORDER
        np.testing.assert_array_equal(data.x[:], x.transpose(0, 2, 1))
        np.testing.assert_array_equal(data.y[:], np.repeat(np.arange(24), 4))
        np.testing.assert_array_equal(data.z[:4], [-20, -20, 30, 30])
        np.testing.assert_array_equal(data.pass_id[:], np.arange(96))


def test_a_part_of_2018(tmp_path, monkeypatch):
    monkeypatch.setattr("kdamc_training.datasets.import_2018._FRAMES", 7)
    source = tmp_path / "any name"
    x = write_2018(source, 3)
    part = Part(snr=(30, 30), classes=["16QAM", "BPSK"], frames_per_cell=2)
    assert import_files([source], tmp_path / "a.h5", part=part) == ("rml2018.01a", 4)
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.info.classes == ("BPSK", "16QAM")
        np.testing.assert_array_equal(data.y[:], [0, 0, 1, 1])
        np.testing.assert_array_equal(data.z[:], 30)
        # BPSK is class 3 and 16QAM class 12, with 6 frames each, of which the last 3 are at 30 dB.
        np.testing.assert_array_equal(data.x[:], x[[21, 22, 75, 76]].transpose(0, 2, 1))


def bad_2018() -> dict[str, dict]:
    y = np.eye(24, dtype=np.int64)[np.repeat(np.arange(24), 4)]
    z = np.zeros((96, 1), np.int64)
    x = np.ones((96, 1024, 2), np.float32)
    x[50, 3, 1] = np.inf
    two = y.copy()
    two[5, 7] = 1
    return {
        "not that of RadioML": {"X": np.ones((96, 2, 1024), np.float32)},
        "no numbers X of shape": {"X": np.ones((96, 512, 2), np.float32)},
        "no numbers Y of shape": {"Y": y[:, :11]},
        "same number of frames": {"Z": z[:-1]},
        "not one-hot": {"Y": two},
        "no SNR label": {"Z": z + 0.5},
        "frames 0 to 95 is not a finite": {"X": x},
    }


@pytest.mark.parametrize("says", bad_2018())
def test_wrong_hdf5_files(tmp_path, says):
    write_2018(tmp_path / "a.hdf5", **bad_2018()[says])
    with pytest.raises(UserError, match=says):
        import_files([tmp_path / "a.hdf5"], tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.hdf5"]


def test_a_truncated_hdf5(tmp_path):
    source = tmp_path / "a.hdf5"
    write_2018(source)
    source.write_bytes(source.read_bytes()[:100_000])
    for name in ("", "rml2018.01a"):
        with pytest.raises(UserError, match="not a readable HDF5 file"):
            import_files([source], tmp_path / "a.h5", name=name)
    assert list(tmp_path.iterdir()) == [source]


# Recordings.

SCALES = {"cf32_le": ("<f4", 1, 0), "ci16_le": ("<i2", 32768, 0), "ci16_be": (">i2", 32768, 0)}
SCALES |= {"ci8": ("i1", 128, 0), "cu8": ("u1", 128, 127.5)}
RATE = 1e6


def record(
    folder: Path, name: str, samples: np.ndarray, annotations: list, datatype="cf32_le", **more
) -> Path:
    kind, scale, middle = SCALES[datatype]
    values = samples.astype(np.complex64).view(np.float32) * scale + middle
    if scale > 1:
        values = np.round(values)
    (folder / f"{name}.sigmf-data").write_bytes(values.astype(kind).tobytes())
    metadata = {
        "global": {
            "core:datatype": datatype,
            "core:version": "1.2.0",
            "core:sample_rate": more.pop("rate", RATE),
        },
        "captures": more.pop("captures", [{"core:sample_start": 0, "core:frequency": 100e6}]),
        "annotations": [
            {"core:sample_start": start, **({"core:label": label} if label else {}), **rest}
            | ({} if count is None else {"core:sample_count": count})
            for start, count, label, rest in annotations
        ],
    }
    metadata["global"] |= more
    path = folder / f"{name}.sigmf-meta"
    path.write_text(json.dumps(metadata))
    return path


def band(middle: float, width: float) -> dict:
    return {
        "core:freq_lower_edge": 100e6 + middle - width / 2,
        "core:freq_upper_edge": 100e6 + middle + width / 2,
    }


def ramp(count: int) -> np.ndarray:
    """Samples that tell their index, below full scale."""
    return (np.arange(count) + 1) / 4096 * (1 - 0.5j)


def run(*arguments) -> int:
    return main(["data", "import", *map(str, arguments)])


def test_frames_lie_in_annotations(tmp_path):
    one = record(
        tmp_path,
        "one",
        ramp(1000),
        [
            (100, 70, "bpsk", band(0, 125e3) | {"kdamc:snr_db": 12.4}),
            (300, 31, "bpsk", band(0, 125e3)),
            (400, 64, "other", band(0, 125e3)),
            (500, 64, None, band(0, 125e3)),
            (600, 64, "QPSK", band(0, 250e3) | {"capture_details:SNRdB": -3}),
        ],
    )
    two = record(tmp_path, "two", ramp(500), [(10, 32, "QPSK", band(0, 125e3))])
    names = tmp_path / "map.yaml"
    names.write_text("bpsk: BPSK\nother: null\n")
    out = tmp_path / "a.h5"
    assert run(one, two, out, "--frame-length", 32, "--labels", names) == 0
    starts = [100, 132, 600, 632, 10]
    with DataSetFile(out) as data:
        assert data.info.classes == ("BPSK", "QPSK")
        assert (data.info.sample_rate, data.info.samples_per_symbol) == (RATE, (4.0, 8.0))
        assert data.info.options["recordings"] == ["one.sigmf-meta", "two.sigmf-meta"]
        np.testing.assert_array_equal(data.y[:], [0, 0, 1, 1, 1])
        np.testing.assert_array_equal(data.z[:], [12, 12, -3, -3, SNR_UNKNOWN])
        np.testing.assert_array_equal(data.pass_id[:], [0, 0, 0, 0, 1])
        expected = [ramp(1000)[start : start + 32] for start in starts]
        np.testing.assert_allclose(data.x[:, 0], np.real(expected), rtol=1e-6)
        np.testing.assert_allclose(data.x[:, 1], np.imag(expected), rtol=1e-6)


def test_hop_and_order_of_classes(tmp_path):
    path = record(tmp_path, "r", ramp(200), [(0, 100, "A", {}), (100, 100, "B", {})])
    arguments = (path, tmp_path / "a.h5", "--frame-length", 40, "--hop", 20)
    assert run(*arguments, "--classes", "C,B", "--samples-per-symbol", "2:9") == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        assert data.info.classes == ("C", "B")
        assert data.info.samples_per_symbol == (2.0, 9.0)
        np.testing.assert_array_equal(data.y[:], 1)
        first = np.round(data.x[:, 0, 0] * 4096 - 1)
        np.testing.assert_array_equal(first, [100, 120, 140, 160])


@pytest.mark.parametrize("datatype", SCALES)
def test_sample_formats(tmp_path, datatype, monkeypatch):
    # A small block makes a stretch be read in several pieces.
    monkeypatch.setattr("kdamc_training.datasets.import_sigmf._BLOCK_SAMPLES", 100)
    path = record(tmp_path, "r", ramp(1000), [(5, 900, "A", band(0, 1e5))], datatype)
    assert run(path, tmp_path / "a.h5", "--frame-length", 16, "--hop", 11) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        x = data.x[:, 0] + 1j * data.x[:, 1]
    starts = 5 + 11 * np.arange((900 - 16) // 11 + 1)
    expected = ramp(1000)[starts[:, None] + np.arange(16)]
    np.testing.assert_allclose(
        x, expected, atol=0.75 / SCALES[datatype][1] if "f" not in datatype else 1e-6
    )


def test_centring_brings_a_band_to_zero(tmp_path, monkeypatch):
    monkeypatch.setattr("kdamc_training.datasets.import_sigmf._BLOCK_SAMPLES", 100)
    tone = np.exp(2j * np.pi * 0.2 * np.arange(400))
    path = record(tmp_path, "r", tone, [(30, 300, "CW", band(0.2 * RATE, 1e4))])
    arguments = (path, tmp_path / "a.h5", "--frame-length", 32)
    assert run(*arguments, "--centre") == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        x = data.x[:, 0] + 1j * data.x[:, 1]
    # The phase goes on from frame to frame.
    np.testing.assert_allclose(x, np.full_like(x, tone[30]), atol=1e-5)
    assert run(*arguments) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        np.testing.assert_allclose(data.x[0, 0], tone[30:62].real, atol=1e-6)


def test_frames_do_not_cross_captures(tmp_path):
    captures = [
        {"core:sample_start": 0, "core:frequency": 100e6},
        {"core:sample_start": 50, "core:frequency": 100e6},
    ]
    path = record(
        tmp_path,
        "r",
        ramp(200),
        [(20, 100, "A", band(0, 1e5)), (130, None, "A", band(0, 1e5))],
        captures=captures,
    )
    assert run(path, tmp_path / "a.h5", "--frame-length", 20) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        first = np.round(data.x[:, 0, 0] * 4096 - 1)
    np.testing.assert_array_equal(first, [20, 50, 70, 90, 130, 150, 170])


def test_frames_of_zeros_are_left_out(tmp_path):
    samples = ramp(96)
    samples[32:64] = 0
    path = record(tmp_path, "r", samples, [(0, 96, "A", band(0, 1e5))])
    assert run(path, tmp_path / "a.h5", "--frame-length", 32) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        assert len(data) == 2


def refused(capsys, *arguments) -> str:
    """Run an import that must fail; returns its one line on stderr."""
    assert run(*arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_recordings_that_cannot_be_used(capsys, tmp_path):
    good = record(tmp_path, "good", ramp(200), [(0, 100, "A", band(0, 1e5))])
    out = tmp_path / "a.h5"
    length = ("--frame-length", 32)
    assert "need --frame-length" in refused(capsys, good, out)
    assert "as long as 300 samples" in refused(capsys, good, out, "--frame-length", 300)
    assert "wanted label" in refused(capsys, good, out, *length, "--classes", "B")
    assert "hop must be" in refused(capsys, good, out, *length, "--hop", 0)
    assert "--snr" in refused(capsys, good, out, *length, "--snr", "0:10")
    assert "must end in .h5" in refused(capsys, good, good, *length)
    assert "no such file" in refused(capsys, tmp_path / "none.sigmf-meta", out, *length)
    other = record(tmp_path, "rate", ramp(200), [(0, 100, "A", band(0, 1e5))], rate=2e6)
    assert "one rate" in refused(capsys, good, other, out, *length)
    bare = record(tmp_path, "bare", ramp(200), [(0, 100, "A", {})])
    assert "--samples-per-symbol" in refused(capsys, bare, out, *length)
    assert "no frequency edges" in refused(capsys, bare, out, *length, "--centre")
    beyond = record(tmp_path, "beyond", ramp(200), [(0, 100, "A", band(0.6 * RATE, 1e5))])
    assert "recorded band" in refused(capsys, beyond, out, *length, "--centre")
    loud = record(tmp_path, "loud", ramp(200), [(0, 100, "A", {"kdamc:snr_db": 300})])
    assert "no SNR" in refused(capsys, loud, out, *length)
    infinite = ramp(200)
    infinite[40] = np.inf
    broken = record(tmp_path, "broken", infinite, [(0, 100, "A", band(0, 1e5))])
    assert "not finite" in refused(capsys, broken, out, *length)
    silent = record(tmp_path, "silent", 0 * ramp(200), [(0, 100, "A", band(0, 1e5))])
    assert "zeros" in refused(capsys, silent, out, *length)
    data = tmp_path / "good.sigmf-data"
    data.write_bytes(data.read_bytes()[:500])
    assert "good.sigmf" in refused(capsys, good, out, *length)
    good.write_text("{}")
    assert "good.sigmf-meta" in refused(capsys, good, out, *length)
    names = tmp_path / "map.yaml"
    names.write_text("- a\n")
    assert "not a mapping" in refused(capsys, bare, out, *length, "--labels", names)
    assert not list(tmp_path.glob("*.h5")) and not list(tmp_path.glob(".*"))


def test_arguments_that_do_not_belong(capsys, tmp_path):
    source, out = tmp_path / "RML2016.10a_dict.pkl", tmp_path / "a.h5"
    source.write_bytes(protocol_2(cells_of("rml2016.10a", 1)))
    assert "need --frame-length" in refused(capsys, source, out, "--hop", 3)
    assert "has its own" in refused(capsys, source, out, "--frame-length", 3)
    assert "one file" in refused(capsys, source, source, out)
    assert "no class 'X'" in refused(capsys, source, out, "--classes", "X")
    assert "no frames of what" in refused(capsys, source, out, "--snr", "1:3")
    assert "frames-per-cell is 0" in refused(capsys, source, out, "--frames-per-cell", 0)
    assert "no format 'y'" in refused(capsys, source, out, "--format", "y")
    assert "not a readable HDF5" in refused(capsys, source, out, "--format", "rml2018.01a")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_recording_that_the_sigmf_package_wrote(tmp_path):
    import sigmf

    ramp(500).astype(np.complex64).tofile(tmp_path / "r.sigmf-data")
    written = sigmf.SigMFFile(
        data_file=tmp_path / "r.sigmf-data",
        global_info={"core:datatype": "cf32_le", "core:sample_rate": RATE},
    )
    written.add_capture(0, metadata={"core:frequency": 100e6})
    written.add_annotation(100, 64, metadata={"core:label": "A", **band(0, 1e5)})
    written.tofile(tmp_path / "r.sigmf-meta")
    assert run(tmp_path / "r.sigmf-meta", tmp_path / "a.h5", "--frame-length", 32) == 0
    with DataSetFile(tmp_path / "a.h5") as data:
        np.testing.assert_allclose(data.x[1, 0], ramp(500)[132:164].real, rtol=1e-6)


def test_a_full_disk_leaves_no_file(tmp_path):
    source = tmp_path / "a.hdf5"
    write_2018(source)
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from kdamc_training.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "data", "import", str(source), str(tmp_path / "a.h5")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_cells_that_a_pickle_lacks_are_told(tmp_path, caplog):
    cells = cells_of("rml2016.10a")
    source = tmp_path / "RML2016.10a_dict.pkl"
    source.write_bytes(pickle.dumps(cells))
    import_files([source], tmp_path / "whole.h5")
    assert not caplog.records
    del cells["QPSK", LABELS[1]]
    source.write_bytes(pickle.dumps(cells))
    import_files([source], tmp_path / "part.h5")
    (record,) = caplog.records
    assert "1 cells are lacking, the first of them QPSK at 18 dB" in record.getMessage()
