/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include <gnuradio/kdamc/frame_kernel.h>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

using gr::kdamc::frame_kernel;
using sample = std::complex<float>;

namespace {

std::vector<sample> noise(size_t n, unsigned seed = 1)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, std::sqrt(0.5f));
    std::vector<sample> x(n);
    for (auto& v : x)
        v = { normal(random), normal(random) };
    return x;
}

struct frames {
    std::vector<uint64_t> start;
    std::vector<float> power, noise_power, snr, iq;
    std::vector<uint8_t> flags;
};

// The whole of x through the kernel, in pieces of `chunk` samples and `rows` frames.
frames run(frame_kernel& kernel, const std::vector<sample>& x, size_t chunk, size_t rows)
{
    frames all;
    const size_t len = kernel.frame_len();
    std::vector<uint64_t> start(rows);
    std::vector<float> power(rows), noise_power(rows), snr(rows), iq(rows * 2 * len);
    std::vector<uint8_t> flags(rows);
    for (size_t at = 0; at < x.size(); at += chunk) {
        size_t left = std::min(chunk, x.size() - at);
        const sample* p = x.data() + at;
        while (true) {
            const auto done = kernel.process(p,
                                             left,
                                             { start.data(),
                                               power.data(),
                                               noise_power.data(),
                                               snr.data(),
                                               flags.data() },
                                             iq.data(),
                                             rows);
            all.start.insert(all.start.end(), start.begin(), start.begin() + done.frames);
            all.power.insert(all.power.end(), power.begin(), power.begin() + done.frames);
            all.noise_power.insert(all.noise_power.end(),
                                   noise_power.begin(),
                                   noise_power.begin() + done.frames);
            all.snr.insert(all.snr.end(), snr.begin(), snr.begin() + done.frames);
            all.flags.insert(all.flags.end(), flags.begin(), flags.begin() + done.frames);
            all.iq.insert(
                all.iq.end(), iq.begin(), iq.begin() + done.delivered * 2 * len);
            p += done.consumed;
            left -= done.consumed;
            if (left == 0 && done.frames < rows)
                break;
        }
    }
    return all;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b)
{
    return a.size() == b.size() &&
           std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

} // namespace

BOOST_AUTO_TEST_CASE(chunking_is_bit_identical)
{
    const auto x = noise(5000);
    for (size_t len : { 1, 7, 64, 128, 100 })
        for (size_t hop : { 1, 50, 64, 128, 300 }) {
            frame_kernel whole_kernel(len, hop);
            const auto whole = run(whole_kernel, x, x.size(), 6000);
            const size_t expected = (x.size() - len) / hop + 1;
            BOOST_CHECK_EQUAL(whole.start.size(), expected);
            BOOST_CHECK_EQUAL(whole.start.back(), (expected - 1) * hop);
            for (size_t chunk : { 1, 13, 127, 128, 129, 1000 })
                for (size_t rows : { 1, 3, 6000 }) {
                    frame_kernel kernel(len, hop);
                    const auto parts = run(kernel, x, chunk, rows);
                    BOOST_CHECK(same_bits(whole.start, parts.start));
                    BOOST_CHECK(same_bits(whole.iq, parts.iq));
                    BOOST_CHECK(same_bits(whole.power, parts.power));
                    BOOST_CHECK(same_bits(whole.noise_power, parts.noise_power));
                    BOOST_CHECK(same_bits(whole.snr, parts.snr));
                    BOOST_CHECK(same_bits(whole.flags, parts.flags));
                    BOOST_CHECK_EQUAL(kernel.position(), x.size());
                }
        }
}

BOOST_AUTO_TEST_CASE(frames_have_rms_one_and_planar_layout)
{
    const size_t len = 100;
    auto x = noise(len);
    for (auto& v : x)
        v *= 3e-4f;
    frame_kernel kernel(len, len);
    const auto f = run(kernel, x, len, 1);
    BOOST_REQUIRE_EQUAL(f.iq.size(), 2 * len);
    double energy = 0;
    for (float v : f.iq)
        energy += double(v) * v;
    BOOST_CHECK_CLOSE(energy / len, 1.0, 1e-3);
    const float gain = 1.0f / std::sqrt(f.power[0]);
    for (size_t i = 0; i < len; i++) {
        BOOST_CHECK_CLOSE(f.iq[i], gain * x[i].real(), 1e-3);
        BOOST_CHECK_CLOSE(f.iq[len + i], gain * x[i].imag(), 1e-3);
    }
}

BOOST_AUTO_TEST_CASE(bad_frames_are_flagged_and_not_delivered)
{
    const size_t len = 64;
    auto x = noise(6 * len);
    x[1 * len + 3] = { std::numeric_limits<float>::quiet_NaN(), 0 };
    x[2 * len + 63] = { 0, -std::numeric_limits<float>::infinity() };
    std::fill(x.begin() + 3 * len, x.begin() + 4 * len, sample(0, 0));
    for (size_t i = 4 * len; i < 5 * len; i++)
        x[i] *= 0.01f;
    frame_kernel kernel(len, len, 0.01f);
    const auto f = run(kernel, x, 50, 4);
    using namespace gr::kdamc;
    const std::vector<uint8_t> expected = { FRAME_OK,        FRAME_NONFINITE,
                                            FRAME_NONFINITE, FRAME_SILENT | FRAME_GATED,
                                            FRAME_GATED,     FRAME_OK };
    BOOST_CHECK_EQUAL_COLLECTIONS(
        f.flags.begin(), f.flags.end(), expected.begin(), expected.end());
    BOOST_CHECK_EQUAL(f.iq.size(), 2 * 2 * len);
    for (float v : f.iq)
        BOOST_CHECK(std::isfinite(v));
}

BOOST_AUTO_TEST_CASE(snr_of_an_oversampled_tone_in_white_noise)
{
    const size_t len = 1024;
    for (float db : { 5.0f, 15.0f, 30.0f }) {
        auto x = noise(200 * len);
        const float amplitude = std::pow(10.0f, db / 20);
        for (size_t i = 0; i < x.size(); i++)
            x[i] += amplitude * std::polar(1.0f, 0.05f * float(i % 100000));
        frame_kernel kernel(len, len);
        const auto f = run(kernel, x, x.size(), 200);
        double power = 0, floor = 0;
        for (size_t k = 0; k < 200; k++) {
            BOOST_CHECK(std::isfinite(f.snr[k]));
            BOOST_CHECK_SMALL(f.snr[k] - db, 3.0f);
            power += f.power[k] / 200;
            floor += f.noise_power[k] / 200;
        }
        BOOST_CHECK_SMALL(gr::kdamc::snr_db(power, floor, x.size()) - db, 0.2f);
    }
}

BOOST_AUTO_TEST_CASE(no_snr_where_the_model_does_not_hold)
{
    const size_t len = 1024;
    frame_kernel kernel(len, len);
    // Noise alone: no significant signal.
    const auto alone = run(kernel, noise(100 * len), 100 * len, 100);
    size_t claimed = 0;
    for (float snr : alone.snr)
        claimed += std::isfinite(snr);
    BOOST_CHECK_LE(claimed, 1u);
    // A floor that is not white: smoothed noise.
    auto x = noise(100 * len + 1);
    for (size_t i = 0; i < 100 * len; i++)
        x[i] += x[i + 1];
    frame_kernel coloured(len, len);
    const auto f = run(coloured, x, x.size(), 100);
    for (size_t k = 0; k < f.snr.size(); k++)
        BOOST_CHECK(std::isnan(f.snr[k]) && std::isnan(f.noise_power[k]));
    // Too short for the filters.
    frame_kernel tiny(8, 8);
    for (float snr : run(tiny, noise(80), 80, 10).snr)
        BOOST_CHECK(std::isnan(snr));
}

BOOST_AUTO_TEST_CASE(restart_and_changes_take_effect_at_a_frame)
{
    const auto x = noise(1000);
    frame_kernel kernel(64, 64);
    run(kernel, { x.begin(), x.begin() + 100 }, 100, 10);
    BOOST_CHECK_EQUAL(kernel.pending().size(), 36u);
    BOOST_CHECK_EQUAL(kernel.next_start(), 64u);
    BOOST_CHECK(kernel.pending()[0] == x[64]);
    kernel.restart(500);
    BOOST_CHECK_EQUAL(kernel.pending().size(), 0u);
    kernel.set_hop(100);
    const auto f = run(kernel, { x.begin() + 500, x.end() }, 500, 10);
    const std::vector<uint64_t> expected = { 500, 600, 700, 800, 900 };
    BOOST_CHECK_EQUAL(kernel.next_start(), 1000u);
    BOOST_CHECK_EQUAL_COLLECTIONS(
        f.start.begin(), f.start.end(), expected.begin(), expected.end());
    BOOST_CHECK_THROW(kernel.set_hop(0), std::invalid_argument);
    BOOST_CHECK_THROW(kernel.set_gate_power(-1), std::invalid_argument);
    BOOST_CHECK_THROW(frame_kernel(0, 1), std::invalid_argument);
    BOOST_CHECK_THROW(frame_kernel(128, 0), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(normalize_keeps_layout_and_refuses_silence)
{
    auto x = noise(3 * 50);
    std::fill(x.begin() + 50, x.begin() + 100, sample(0, 0));
    std::vector<sample> y(x.size());
    BOOST_CHECK_EQUAL(gr::kdamc::normalize_rms(x.data(), y.data(), 50, 3), 1u);
    double energy = 0;
    for (size_t i = 0; i < 50; i++) {
        energy += std::norm(y[i]);
        BOOST_CHECK(y[50 + i] == sample(0, 0));
    }
    BOOST_CHECK_CLOSE(energy / 50, 1.0, 1e-3);
    std::vector<float> planar(2 * x.size());
    gr::kdamc::planar_frames(x.data(), planar.data(), 50, 3);
    BOOST_CHECK_EQUAL(planar[2 * 50 * 2 + 7], x[107].real());
    BOOST_CHECK_EQUAL(planar[2 * 50 * 2 + 57], x[107].imag());
}
