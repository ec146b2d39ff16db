# Copyright 2026 gr-kdamc authors.
#
# SPDX-License-Identifier: GPL-3.0-or-later
"""Radios by way of gr-uhd, gr-soapy and gr-osmosdr, told by one set of options.

Nothing is imported before it is asked for, and every refusal is one line.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import signal
import socket
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gnuradio import gr

from ..errors import InputError
from ..segments import EPOCH_S, Segment
from .base import LiveSource, SourceKind, check_rate
from .driver_output import caught, silence

log = logging.getLogger(__name__)

#: What a driver may make of the asked sample rate without being refused, relative.
_RATE_TOLERANCE = 1e-3
#: How long a server may take to greet, seconds.
_GREETING_S = 5.0

#: Automatic gain, as a value of ``--gain``.
AUTO = "auto"

#: What a driver prints of a device that is there and cannot be used, and what colours it.
_COMPLAINT = re.compile(r"usb.*(claim|open|error)|permission|busy|in use|firmware|image", re.I)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Range = tuple[float, float]


def gain(text: str) -> float | str:
    """An argparse type: dB, or ``auto``."""
    if text == AUTO:
        return AUTO
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a gain in dB")
    return value


@dataclass(frozen=True)
class RadioSettings:
    """What a radio is told; None leaves it to the driver."""

    rate: float
    freq_hz: float
    gain: float | str | None = None
    antenna: str | None = None
    channel: int = 0
    bandwidth_hz: float | None = None
    ppm: float | None = None
    bias_tee: bool = False
    lost_after_s: float = 3.0


class Radio(LiveSource):
    """A radio that a driver of GNU Radio's finds by ``device``, its own words for it."""

    #: The option that selects it.
    option: str
    #: What to install where the driver's Python module is not there.
    package: str
    #: What helps when there is no such device.
    advice: str
    #: Whether a device sends from the moment that it is opened, so that it is opened late.
    _sends_at_once = False

    def __init__(self, device: str, settings: RadioSettings):
        super().__init__(
            f"{self.option[2:]} {device}".rstrip(),
            check_rate(settings.rate),
            settings.freq_hz,
            settings.lost_after_s,
        )
        self._device = device
        self._settings = settings
        self._block: Any = None

    def open(self) -> None:
        """See :meth:`LiveSource.open`."""
        self._block = self._open()
        if self._sends_at_once:
            self._block = None

    def connect(self, graph: gr.top_block, segment: Segment) -> gr.basic_block:
        """See :meth:`Source.connect`."""
        block = self._block if self._block is not None else self._open()
        self._block = None
        return block

    def _open(self) -> Any:
        with caught() as printed, _interruptible():
            try:
                block = self._make()
            except ImportError as error:
                raise InputError(
                    f"{self.option} needs {self.package} ({' '.join(str(error).split())}): "
                    f"apt-get install {self.package}"
                ) from None
            except RuntimeError as error:
                failure = " ".join(str(error).split()).rstrip(".!")
            else:
                failure = None
                try:
                    self._configure(block)
                except RuntimeError as error:
                    failure = f"cannot be set up: {' '.join(str(error).split())}"
        if failure is not None:
            raise InputError(
                f"{self.name}: {failure}{_complaint(printed)}{self._found()}; {self.advice}"
            )
        return block

    def _found(self) -> str:
        """What devices there are, as the end of a sentence."""
        try:
            with caught():
                devices = self._devices()
        except (RuntimeError, ImportError, AttributeError):
            return ""  # not every version can list them
        return f"; found: {', '.join(devices) or 'no device'}"

    def _configure(self, block: Any) -> None:
        asked = self._settings
        rate = self._set_rate(block, asked.rate)
        if abs(rate / asked.rate - 1) > _RATE_TOLERANCE:
            raise InputError(
                f"{self.name}: a sample rate of {asked.rate:g} Hz is not possible, "
                f"the nearest is {rate:.10g} Hz (--samp-rate)"
            )
        if asked.ppm is not None:
            self._set_ppm(block, asked.ppm)
        self._check("frequency", "Hz", "--freq", asked.freq_hz, self._frequencies(block))
        self._set_frequency(block, asked.freq_hz)
        if asked.antenna is not None:
            antennas = self._antennas(block)
            if asked.antenna not in antennas:
                raise InputError(
                    f"{self.name}: no antenna {asked.antenna!r}, there is "
                    f"{', '.join(antennas)} (--antenna)"
                )
            self._set_antenna(block, asked.antenna)
        if asked.bandwidth_hz is not None:
            self._set_bandwidth(block, asked.bandwidth_hz)
        self._configure_gain(block)
        if asked.bias_tee:
            self._set_bias_tee(block)
        self.segments = [Segment(0, None, rate, asked.freq_hz)]

    def _configure_gain(self, block: Any) -> None:
        asked = self._settings.gain
        ranges = self._gains(block)
        if isinstance(asked, float):
            self._check("gain", "dB", "--gain", asked, ranges)
            self._set_gain(block, asked)
        elif not self._set_auto_gain(block):
            if asked == AUTO:
                raise InputError(f"{self.name}: has no automatic gain (--gain)")
            if ranges:
                middle = (ranges[0][0] + ranges[-1][1]) / 2
                log.info("%s: gain %g dB", self.name, middle)
                self._set_gain(block, middle)

    def _check(self, what: str, unit: str, option: str, value: float, ranges: list[Range]) -> None:
        # Drivers report ranges in single precision.
        near = 1e-6 * abs(value)
        if ranges and not any(low - near <= value <= high + near for low, high in ranges):
            offered = ", ".join(
                f"{round(low, 3):.10g}..{round(high, 3):.10g}" for low, high in ranges
            )
            raise InputError(
                f"{self.name}: a {what} of {value:.10g} {unit} is not possible, it offers "
                f"{offered} {unit} ({option})"
            )

    # What the drivers differ in.

    @abstractmethod
    def _make(self) -> Any:
        """The driver's block."""

    @abstractmethod
    def _devices(self) -> list[str]:
        """Names of the devices that the driver sees."""

    @abstractmethod
    def _set_rate(self, block: Any, rate: float) -> float:
        """Set the sample rate, Hz, and return what it then is; may refuse it."""

    @abstractmethod
    def _frequencies(self, block: Any) -> list[Range]: ...

    @abstractmethod
    def _set_frequency(self, block: Any, freq_hz: float) -> None: ...

    @abstractmethod
    def _gains(self, block: Any) -> list[Range]: ...

    @abstractmethod
    def _set_gain(self, block: Any, gain_db: float) -> None: ...

    @abstractmethod
    def _set_auto_gain(self, block: Any) -> bool:
        """Let the radio choose its gain; False if it cannot."""

    @abstractmethod
    def _antennas(self, block: Any) -> list[str]: ...

    @abstractmethod
    def _set_antenna(self, block: Any, antenna: str) -> None: ...

    @abstractmethod
    def _set_bandwidth(self, block: Any, bandwidth_hz: float) -> None: ...

    def _set_ppm(self, block: Any, ppm: float) -> None:
        raise InputError(f"{self.name}: cannot correct its clock (--ppm)")

    def _set_bias_tee(self, block: Any) -> None:
        raise InputError(f"{self.name}: has no bias tee that its driver can switch (--bias-tee)")


class UhdRadio(Radio):
    """A USRP."""

    option = "--uhd"
    package = "gnuradio"
    advice = (
        "uhd_find_devices (apt-get install uhd-host) lists USRPs, uhd_images_downloader gets "
        "the images that they need"
    )
    reports_overflows = True

    def _make(self) -> Any:
        # UHD writes from a thread of its own, sometimes only after what is caught here ends; it
        # reads this when it is loaded. What it tells of an ordinary start helps nobody.
        os.environ.setdefault("UHD_LOG_CONSOLE_LEVEL", "warning")
        from gnuradio import uhd

        stream = uhd.stream_args(cpu_format="fc32", args="", channels=[self._settings.channel])
        block = uhd.usrp_source(self._device, stream)
        if block.get_time_now().get_real_secs() < EPOCH_S:
            block.set_time_now(uhd.time_spec(time.time()))
        return block

    def _devices(self) -> list[str]:
        from gnuradio.uhd import uhd_python

        found = uhd_python.find_devices(uhd_python.device_addr(""))
        return [device.to_string() for device in found]

    def _set_rate(self, block: Any, rate: float) -> float:
        block.set_samp_rate(rate)
        return block.get_samp_rate()

    def _frequencies(self, block: Any) -> list[Range]:
        return _bounds(block.get_freq_range(0))

    def _set_frequency(self, block: Any, freq_hz: float) -> None:
        block.set_center_freq(freq_hz)

    def _gains(self, block: Any) -> list[Range]:
        return _bounds(block.get_gain_range(0))

    def _set_gain(self, block: Any, gain_db: float) -> None:
        block.set_gain(gain_db)

    def _set_auto_gain(self, block: Any) -> bool:
        try:
            block.set_rx_agc(True, 0)
        except RuntimeError:
            return False
        return True

    def _antennas(self, block: Any) -> list[str]:
        return list(block.get_antennas(0))

    def _set_antenna(self, block: Any, antenna: str) -> None:
        block.set_antenna(antenna)

    def _set_bandwidth(self, block: Any, bandwidth_hz: float) -> None:
        block.set_bandwidth(bandwidth_hz)


class SoapyRadio(Radio):
    """A radio by way of SoapySDR."""

    option = "--soapy"
    package = "gnuradio"
    advice = (
        "SoapySDRUtil --find (apt-get install soapysdr-tools) lists devices; their drivers are "
        "packages, as soapysdr-module-rtlsdr or soapysdr-module-hackrf"
    )
    #: What drivers call the switch of the bias tee.
    _BIAS_KEYS = ("biastee", "bias_tx", "bias_tee")

    def _make(self) -> Any:
        from gnuradio import soapy

        return soapy.source(self._device, "fc32", 1, "", "", [""], [""])

    def _devices(self) -> list[str]:
        import SoapySDR

        return [str(device) for device in SoapySDR.Device.enumerate()]

    def _set_rate(self, block: Any, rate: float) -> float:
        parts = block.get_sample_rate_range(0)
        offered = [(part.minimum(), part.maximum()) for part in parts]
        self._check("sample rate", "Hz", "--samp-rate", rate, offered)
        block.set_sample_rate(0, rate)
        return block.get_sample_rate(0)

    def _frequencies(self, block: Any) -> list[Range]:
        parts = block.get_frequency_range(0)
        return [(part.minimum(), part.maximum()) for part in parts]

    def _set_frequency(self, block: Any, freq_hz: float) -> None:
        block.set_frequency(0, freq_hz)

    def _gains(self, block: Any) -> list[Range]:
        offered = block.get_gain_range(0)
        return [(offered.minimum(), offered.maximum())]

    def _set_gain(self, block: Any, gain_db: float) -> None:
        if block.has_gain_mode(0):
            block.set_gain_mode(0, False)
        block.set_gain(0, gain_db)

    def _set_auto_gain(self, block: Any) -> bool:
        if not block.has_gain_mode(0):
            return False
        block.set_gain_mode(0, True)
        return True

    def _antennas(self, block: Any) -> list[str]:
        return list(block.list_antennas(0))

    def _set_antenna(self, block: Any, antenna: str) -> None:
        block.set_antenna(0, antenna)

    def _set_bandwidth(self, block: Any, bandwidth_hz: float) -> None:
        block.set_bandwidth(0, bandwidth_hz)

    def _set_ppm(self, block: Any, ppm: float) -> None:
        if not block.has_frequency_correction(0):
            super()._set_ppm(block, ppm)
        block.set_frequency_correction(0, ppm)

    def _set_bias_tee(self, block: Any) -> None:
        offered = {info.key for info in block.get_setting_info()}
        for key in self._BIAS_KEYS:
            if key in offered:
                block.write_setting(key, "true")
                return
        super()._set_bias_tee(block)


class OsmosdrRadio(Radio):
    """A radio, or a server of samples, by way of gr-osmosdr."""

    option = "--osmosdr"
    package = "gr-osmosdr"
    advice = (
        "devices are named as rtl=0, rtl_tcp=host:1234, hackrf=0, airspy=0; a dongle that another "
        "program or the kernel's dvb_usb_rtl28xxu holds is busy"
    )
    #: Drivers that know the argument bias.
    _WITH_BIAS = ("rtl", "rtl_tcp", "hackrf", "airspy")
    #: What an RTL2832U can do, Hz.  Its drivers take anything, and then do something else.
    RTL_RATES: tuple[Range, ...] = ((225001, 300000), (900001, 3200000))

    def __init__(self, device: str, settings: RadioSettings):
        super().__init__(device, settings)
        self._driver = re.split(r"[=,\s]", device.strip(), maxsplit=1)[0]
        self._sends_at_once = self._driver == "rtl_tcp"
        # Whether the server greeted just now: a real one takes its time between two clients.
        self._greeted = False

    def _make(self) -> Any:
        import osmosdr

        if self._driver == "rtl_tcp" and not self._greeted:
            self._await_greeting()
        self._greeted = not self._greeted
        arguments = self._device
        if self._settings.bias_tee:
            if self._driver not in self._WITH_BIAS:
                super()._set_bias_tee(None)
            arguments += ",bias=1"
        return osmosdr.source(args=arguments)

    def _await_greeting(self) -> None:
        # The driver would wait for it without a limit, and nothing could interrupt it.
        found = re.search(r"rtl_tcp=([^,\s]*)", self._device)
        host, _, port = (found[1] if found else "").partition(":")
        host, port = host or "127.0.0.1", port or "1234"
        try:
            with socket.create_connection((host, int(port)), _GREETING_S) as connection:
                connection.settimeout(_GREETING_S)
                greeting = connection.recv(4, socket.MSG_WAITALL)
        except TimeoutError:
            raise InputError(
                f"{self.name}: no answer in {_GREETING_S:g} s: another client has it (rtl_tcp "
                "serves one), or it is no rtl_tcp server"
            ) from None
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.name}: {reason}: is rtl_tcp running on {host}?") from None
        if greeting != b"RTL0":
            raise InputError(f"{self.name}: what answers there is no rtl_tcp server")

    def _devices(self) -> list[str]:
        import osmosdr

        return [device.to_string() for device in osmosdr.device.find(osmosdr.device_t("nofake"))]

    def _set_rate(self, block: Any, rate: float) -> float:
        if self._driver in ("rtl", "rtl_tcp"):
            offered = list(self.RTL_RATES)
        else:
            offered = _bounds(block.get_sample_rates())
        self._check("sample rate", "Hz", "--samp-rate", rate, offered)
        return block.set_sample_rate(rate)

    def _frequencies(self, block: Any) -> list[Range]:
        return _bounds(block.get_freq_range())

    def _set_frequency(self, block: Any, freq_hz: float) -> None:
        block.set_center_freq(freq_hz)

    def _gains(self, block: Any) -> list[Range]:
        return _bounds(block.get_gain_range())

    def _set_gain(self, block: Any, gain_db: float) -> None:
        block.set_gain_mode(False)
        block.set_gain(gain_db)

    def _set_auto_gain(self, block: Any) -> bool:
        return bool(block.set_gain_mode(True))

    def _antennas(self, block: Any) -> list[str]:
        return list(block.get_antennas())

    def _set_antenna(self, block: Any, antenna: str) -> None:
        block.set_antenna(antenna)

    def _set_bandwidth(self, block: Any, bandwidth_hz: float) -> None:
        block.set_bandwidth(bandwidth_hz)

    def _set_ppm(self, block: Any, ppm: float) -> None:
        block.set_freq_corr(ppm)

    def _set_bias_tee(self, block: Any) -> None:
        """Is an argument."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """A driver may wait for a device in C++, where Python's handler of Ctrl-C is not called."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _bounds(offered: Any) -> list[Range]:
    """The ends of a driver's range; nothing where it has none."""
    try:
        return [(offered.start(), offered.stop())]
    except RuntimeError:
        return []


def _complaint(printed: list[str]) -> str:
    """The last line of a driver's output that says what is wrong, in brackets."""
    for line in reversed(printed):
        if _COMPLAINT.search(line):
            return f" ({_COLOUR.sub('', line)})"
    return ""


def _open(kind: type[Radio], device: str, args: argparse.Namespace) -> LiveSource:
    missing = [
        option
        for option, value in (("--freq", args.freq), ("--samp-rate", args.samp_rate))
        if value is None
    ]
    if missing:
        raise InputError(f"{kind.option} needs {' and '.join(missing)}")
    settings = RadioSettings(
        rate=args.samp_rate,
        freq_hz=args.freq,
        gain=args.gain,
        antenna=args.antenna,
        channel=args.channel or 0,
        bandwidth_hz=args.radio_bandwidth,
        ppm=args.ppm,
        bias_tee=args.bias_tee,
        lost_after_s=args.lost_after,
    )
    radio = kind(device, settings)
    radio.open()
    silence()
    return radio


_OBEYS = (
    "--samp-rate", "--freq", "--gain", "--antenna", "--radio-bandwidth", "--reconnect",
    "--lost-after",
)  # fmt: skip

UHD = SourceKind(
    "--uhd",
    "ARGS",
    "USRP, by its device arguments ('' for the only one)",
    (*_OBEYS, "--channel"),
    lambda args: _open(UhdRadio, args.uhd, args),
)
SOAPY = SourceKind(
    "--soapy",
    "ARGS",
    "radio by way of SoapySDR, as driver=rtlsdr",
    (*_OBEYS, "--ppm", "--bias-tee"),
    lambda args: _open(SoapyRadio, args.soapy, args),
)
OSMOSDR = SourceKind(
    "--osmosdr",
    "ARGS",
    "radio by way of gr-osmosdr: rtl=0, rtl_tcp=host:port, hackrf=0, airspy=0, ...",
    (*_OBEYS, "--ppm", "--bias-tee"),
    lambda args: _open(OsmosdrRadio, args.osmosdr, args),
)
