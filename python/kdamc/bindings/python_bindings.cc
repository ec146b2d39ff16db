/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include <gnuradio/kdamc/averaged_spectrum.h>
#include <gnuradio/kdamc/extractor.h>
#include <gnuradio/kdamc/frame_kernel.h>
#include <gnuradio/kdamc/frame_sums.h>
#include <initializer_list>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <stdexcept>
#include <string>

namespace py = pybind11;
using gr::kdamc::frame_kernel;
using gr::kdamc::frame_table;

namespace {

using sample = std::complex<float>;
// No forcecast: a silent copy would leave the caller's array unwritten.
template <typename T>
using array = py::array_t<T, py::array::c_style>;

void expect_rows(const char* name, const py::array& a, py::ssize_t rows)
{
    if (a.ndim() != 1 || a.shape(0) < rows)
        throw std::invalid_argument(std::string(name) + " must be 1-D with at least " +
                                    std::to_string(rows) + " entries");
}

py::tuple process(frame_kernel& kernel,
                  array<sample> samples,
                  array<float> iq,
                  array<uint64_t> start,
                  array<float> power,
                  array<float> noise_power,
                  array<float> snr_est_db,
                  array<uint8_t> flags)
{
    if (samples.ndim() != 1)
        throw std::invalid_argument("samples must be 1-D complex64");
    if (iq.ndim() != 3 || iq.shape(1) != 2 ||
        iq.shape(2) != py::ssize_t(kernel.frame_len()))
        throw std::invalid_argument("iq must be (n, 2, " +
                                    std::to_string(kernel.frame_len()) + ") float32");
    const py::ssize_t rows = iq.shape(0);
    expect_rows("start", start, rows);
    expect_rows("power", power, rows);
    expect_rows("noise_power", noise_power, rows);
    expect_rows("snr_est_db", snr_est_db, rows);
    expect_rows("flags", flags, rows);
    const frame_table table = { start.mutable_data(),
                                power.mutable_data(),
                                noise_power.mutable_data(),
                                snr_est_db.mutable_data(),
                                flags.mutable_data() };
    const sample* in = samples.data();
    float* out = iq.mutable_data();
    const size_t n = samples.shape(0);
    frame_kernel::result done;
    {
        py::gil_scoped_release release;
        done = kernel.process(in, n, table, out, rows);
    }
    return py::make_tuple(done.consumed, done.frames, done.delivered);
}

void expect_frames(const char* name, const py::array& a, const py::array& like)
{
    if (a.ndim() != 2 || a.shape(0) != like.shape(0) || a.shape(1) != like.shape(1))
        throw std::invalid_argument(std::string(name) + " must have the frames' shape");
}

size_t normalize_rms(array<sample> frames, array<sample> out)
{
    if (frames.ndim() != 2)
        throw std::invalid_argument("frames must be (n, L) complex64");
    expect_frames("out", out, frames);
    const sample* in = frames.data();
    sample* to = out.mutable_data();
    const size_t count = frames.shape(0), len = frames.shape(1);
    py::gil_scoped_release release;
    return gr::kdamc::normalize_rms(in, to, len, count);
}

void planar_frames(array<sample> frames, array<float> out)
{
    if (frames.ndim() != 2)
        throw std::invalid_argument("frames must be (n, L) complex64");
    if (out.ndim() != 3 || out.shape(0) < frames.shape(0) || out.shape(1) != 2 ||
        out.shape(2) != frames.shape(1))
        throw std::invalid_argument("out must be (n, 2, L) float32");
    const sample* in = frames.data();
    float* to = out.mutable_data();
    const size_t count = frames.shape(0), len = frames.shape(1);
    py::gil_scoped_release release;
    gr::kdamc::planar_frames(in, to, len, count);
}

py::tuple sum_frames(array<float> logits,
                     float scale,
                     array<float> power,
                     array<float> noise_power,
                     array<double> log_posteriors)
{
    if (logits.ndim() != 2 || logits.shape(1) < 1)
        throw std::invalid_argument("logits must be (n, classes) float32");
    expect_rows("power", power, logits.shape(0));
    expect_rows("noise_power", noise_power, logits.shape(0));
    expect_rows("log_posteriors", log_posteriors, logits.shape(1));
    const auto sums = gr::kdamc::sum_frames(logits.data(),
                                            logits.shape(0),
                                            logits.shape(1),
                                            scale,
                                            power.data(),
                                            noise_power.data(),
                                            log_posteriors.mutable_data());
    return py::make_tuple(sums.power, sums.noise_power, sums.frames);
}

// What both readers of streams need: `samples` is checked, `made` holds what came out.
const sample* stream(const array<sample>& samples)
{
    if (samples.ndim() != 1)
        throw std::invalid_argument("samples must be 1-D complex64");
    return samples.data();
}

array<sample> extract(gr::kdamc::extractor& extractor, const array<sample>& samples)
{
    const sample* in = stream(samples);
    const size_t n = samples.shape(0);
    array<sample> made(py::ssize_t(extractor.room_for(n)));
    sample* out = made.mutable_data();
    size_t count;
    {
        py::gil_scoped_release release;
        count = extractor.process(in, n, out);
    }
    made.resize({ py::ssize_t(count) });
    return made;
}

array<float> spectra(gr::kdamc::averaged_spectrum& spectrum, const array<sample>& samples)
{
    const sample* in = stream(samples);
    const size_t n = samples.shape(0);
    const auto bins = py::ssize_t(spectrum.bins());
    array<float> made({ py::ssize_t(spectrum.room_for(n)), bins });
    float* rows = made.mutable_data();
    size_t count;
    {
        py::gil_scoped_release release;
        count = spectrum.process(in, n, rows);
    }
    made.resize({ py::ssize_t(count), bins });
    return made;
}

} // namespace

PYBIND11_MODULE(kdamc_python, m)
{
    m.doc() =
        "C++ kernel of gr-kdamc: frames, gate, SNR estimate, normalisation, layout.";

    m.attr("FRAME_OK") = py::int_(int(gr::kdamc::FRAME_OK));
    m.attr("FRAME_GATED") = py::int_(int(gr::kdamc::FRAME_GATED));
    m.attr("FRAME_SILENT") = py::int_(int(gr::kdamc::FRAME_SILENT));
    m.attr("FRAME_NONFINITE") = py::int_(int(gr::kdamc::FRAME_NONFINITE));

    py::class_<frame_kernel>(
        m,
        "FrameKernel",
        "Cuts a complex64 stream into frames of L samples every `hop` samples and makes\n"
        "network input of them. State is carried across calls: any chunking of a stream\n"
        "gives bit-identical frames. One object a stream; not thread-safe.")
        .def(
            py::init<size_t, size_t, float>(),
            py::arg("frame_len"),
            py::arg("hop"),
            py::arg("gate_power") = 0.0f,
            "frame_len: 1..2^20 samples; hop: samples between frame starts, at least 1;\n"
            "gate_power: mean |x|^2 below which a frame is gated. Raises ValueError.")
        .def("process",
             &process,
             py::arg("samples").noconvert(),
             py::arg("iq").noconvert(),
             py::arg("start").noconvert(),
             py::arg("power").noconvert(),
             py::arg("noise_power").noconvert(),
             py::arg("snr_est_db").noconvert(),
             py::arg("flags").noconvert(),
             "Read `samples` (complex64, 1-D) until they or the rows of `iq` are used "
             "up.\n\n"
             "iq (m, 2, L) float32 receives the frames that pass, scaled to RMS 1, "
             "densely\n"
             "packed; start uint64, power, noise_power, snr_est_db float32 and flags "
             "uint8\n"
             "receive a row for every frame, flagged ones included. noise_power and\n"
             "snr_est_db (whole sampled band, dB) are NaN where the white-noise model "
             "does\n"
             "not hold. Returns (samples consumed, frames listed, frames delivered).\n"
             "Releases the GIL. Raises ValueError for a shape, TypeError for a dtype.")
        .def("restart",
             &frame_kernel::restart,
             py::arg("position"),
             "Forget kept samples; the next sample has index `position` and starts a "
             "frame.")
        .def(
            "pending",
            [](const frame_kernel& kernel) {
                const auto held = kernel.pending();
                return py::array_t<sample>(held.size(), held.data());
            },
            "Samples read that belong to frames not yet emitted (a copy, complex64).")
        .def_property_readonly("position",
                               &frame_kernel::position,
                               "Absolute index of the next sample to be read.")
        .def_property_readonly("next_start",
                               &frame_kernel::next_start,
                               "Absolute index of the first sample of the next frame.")
        .def_property_readonly("frame_len", &frame_kernel::frame_len)
        .def_property("hop", &frame_kernel::hop, &frame_kernel::set_hop)
        .def_property(
            "gate_power", &frame_kernel::gate_power, &frame_kernel::set_gate_power);

    using gr::kdamc::extractor;
    py::class_<extractor>(
        m,
        "Extractor",
        "Takes one signal out of a band: shifts it to 0 Hz, filters, resamples. Output\n"
        "sample k stands for the input k * step samples after the first one; any "
        "chunking\n"
        "gives the same bits. One object a signal; not thread-safe.")
        .def(py::init<double, double, double, double, double>(),
             py::arg("sample_rate"),
             py::arg("centre_hz"),
             py::arg("output_rate"),
             py::arg("bandwidth_hz"),
             py::arg("transition_hz"),
             "All in Hz: centre_hz becomes 0 Hz; bandwidth_hz is the two-sided pass "
             "band;\n"
             "transition_hz the slope on either side of it. Raises ValueError.")
        .def("process",
             &extract,
             py::arg("samples").noconvert(),
             "The next samples (complex64, 1-D); returns what comes out of them.\n"
             "Releases the GIL.")
        .def("restart", &extractor::restart, "The next sample is the first.")
        .def_property_readonly(
            "tail", &extractor::tail, "Zeros that bring out what stands for all samples.")
        .def_property_readonly(
            "step", &extractor::step, "Input samples between output samples.");

    using gr::kdamc::averaged_spectrum;
    py::class_<averaged_spectrum>(m,
                                  "AveragedSpectrum",
                                  "Power spectra of a complex64 stream, each the mean "
                                  "over several half overlapping\n"
                                  "Blackman-Harris windowed transforms. Bins run from "
                                  "-1/2 to 1/2 of the sample rate;\n"
                                  "white noise of power p reads p. Not thread-safe.")
        .def(py::init<size_t, size_t>(),
             py::arg("bins"),
             py::arg("averages"),
             "bins: of a transform, even; averages: transforms in a row. Raises "
             "ValueError.")
        .def(
            "process",
            &spectra,
            py::arg("samples").noconvert(),
            "The next samples (complex64, 1-D); returns the rows (n, bins) float32 that\n"
            "they complete. Releases the GIL.")
        .def("restart", &averaged_spectrum::restart, "Forget all samples.")
        .def_property_readonly("row_samples",
                               &averaged_spectrum::row_samples,
                               "Samples between the starts of rows.")
        .def_property_readonly("bins", &averaged_spectrum::bins);

    m.def("sum_frames",
          &sum_frames,
          py::arg("logits").noconvert(),
          py::arg("scale"),
          py::arg("power").noconvert(),
          py::arg("noise_power").noconvert(),
          py::arg("log_posteriors").noconvert(),
          "Add log softmax(scale * logits) of all frames (n, classes) to log_posteriors\n"
          "(classes) float64. Returns (sum of power, sum of noise_power, number) of the\n"
          "frames whose noise_power is finite.");

    m.def("snr_db",
          &gr::kdamc::snr_db,
          py::arg("power"),
          py::arg("noise_power"),
          py::arg("samples"),
          "SNR in dB of mean power and noise power over `samples` samples; NaN where it\n"
          "cannot be told from noise alone.");
    m.def(
        "normalize_rms",
        &normalize_rms,
        py::arg("frames").noconvert(),
        py::arg("out").noconvert(),
        "Scale frames (n, L) complex64 to RMS 1 into `out`; silent or non-finite frames\n"
        "become zeros. Returns how many did.");
    m.def("planar_frames",
          &planar_frames,
          py::arg("frames").noconvert(),
          py::arg("out").noconvert(),
          "Interleaved frames (n, L) complex64 to planar (n, 2, L) float32.");
}
