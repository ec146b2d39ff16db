/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include <gnuradio/kdamc/extractor.h>
#include <boost/test/unit_test.hpp>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

using gr::kdamc::extractor;
using sample = std::complex<float>;

namespace {

std::vector<sample> tone(double turns, size_t n, double start = 0.0)
{
    std::vector<sample> x(n);
    for (size_t k = 0; k < n; k++)
        x[k] = sample(std::polar(1.0, 2 * M_PI * (start + std::fmod(turns * k, 1.0))));
    return x;
}

std::vector<sample> noise(size_t n)
{
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<sample> x(n);
    for (auto& v : x)
        v = { normal(random), normal(random) };
    return x;
}

// All of x, in pieces of `chunk`, and the zeros that bring out the rest.
std::vector<sample> run(extractor& filter, std::vector<sample> x, size_t chunk)
{
    x.resize(x.size() + filter.tail());
    std::vector<sample> out;
    for (size_t at = 0; at < x.size(); at += chunk) {
        const size_t n = std::min(chunk, x.size() - at);
        const size_t before = out.size();
        const size_t room = filter.room_for(n);
        out.resize(before + room);
        const size_t made = filter.process(x.data() + at, n, out.data() + before);
        BOOST_REQUIRE_LE(made, room);
        out.resize(before + made);
    }
    return out;
}

double decibel(double power) { return 10 * std::log10(power); }

} // namespace

// Ratios with none, one and many halvings, up and down, whole and not.
const std::vector<double> OUTPUT_RATES = {
    2.5, 1.0, 0.7310, 0.25, 0.2371, 0.0619, 0.0031
};

BOOST_AUTO_TEST_CASE(a_tone_comes_out_in_its_place_at_its_time)
{
    for (const double rate : OUTPUT_RATES) {
        const double usable = std::min(1.0, rate);
        const double centre = 0.217, offset = 0.2 * usable;
        extractor filter(1.0, centre, rate, 0.5 * usable, 0.2 * usable);
        BOOST_CHECK_CLOSE(filter.step(), 1 / rate, 1e-9);
        const size_t n = size_t(400 / usable);
        const auto out = run(filter, tone(centre + offset, n), 1000);
        BOOST_REQUIRE_GE(out.size(), size_t(std::floor((n - 1) * rate)) + 1);
        // Away from the edges, where zeros are as good as samples.
        double worst = 0.0;
        const size_t edge = size_t(40 * rate / usable);
        for (size_t k = edge; k < size_t(n * rate) - edge; k++) {
            const auto right = std::polar(1.0, 2 * M_PI * offset * double(k) / rate);
            worst = std::max(worst, std::abs(std::complex<double>(out[k]) - right));
        }
        BOOST_CHECK_MESSAGE(worst < 0.01, "rate " << rate << ": off by " << worst);
    }
}

BOOST_AUTO_TEST_CASE(any_chunking_gives_the_same_bits)
{
    const auto x = noise(30000);
    for (const double rate : OUTPUT_RATES) {
        const double usable = std::min(1.0, rate);
        extractor filter(1.0, -0.31, rate, 0.5 * usable, 0.2 * usable);
        const auto whole = run(filter, x, x.size() * 2);
        for (const size_t chunk : { 1, 63, 64, 4097 }) {
            filter.restart();
            const auto pieces = run(filter, x, chunk);
            BOOST_CHECK(whole == pieces);
        }
    }
}

BOOST_AUTO_TEST_CASE(neighbours_are_60_dB_down)
{
    for (const double rate : OUTPUT_RATES) {
        const double usable = std::min(1.0, rate);
        const double bandwidth = 0.3 * usable, slope = 0.1 * usable;
        for (const double beyond : { 1.0, 1.7, 3.1, 20.0 }) {
            const double f = (bandwidth / 2 + slope) * beyond + 1e-4 * usable;
            if (f > 0.5 + (rate < 1 ? 0.0 : -0.25))
                continue;
            extractor filter(1.0, -0.04, rate, bandwidth, slope);
            const auto out = run(filter, tone(f - 0.04, size_t(2000 / usable)), 5000);
            double power = 0.0;
            const size_t edge = out.size() / 4;
            for (size_t k = edge; k < out.size() - edge; k++)
                power += std::norm(out[k]);
            power /= double(out.size() - 2 * edge);
            BOOST_CHECK_MESSAGE(decibel(power) < -58,
                                "rate " << rate << ", " << f << ": " << decibel(power));
        }
    }
}

BOOST_AUTO_TEST_CASE(white_noise_keeps_the_power_of_its_band)
{
    const auto x = noise(400000); // of power 2
    extractor filter(1.0, 0.1, 0.05, 0.03, 0.004);
    const auto out = run(filter, x, 10000);
    double power = 0.0;
    for (const auto& v : out)
        power += std::norm(v);
    BOOST_CHECK_CLOSE(power / double(out.size()) / 2, 0.034, 4.0);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused)
{
    const double nan = std::numeric_limits<double>::quiet_NaN();
    BOOST_CHECK_THROW(extractor(0, 0, 1, .5, .1), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(nan, 0, 1, .5, .1), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0.51, 1, .5, .1), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0, 65, .5, .1), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0, 1e-9, 5e-10, 1e-10), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0, 0.5, .5, .1), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0, 1, .5, 0), std::invalid_argument);
    BOOST_CHECK_THROW(extractor(1, 0, 1, nan, .1), std::invalid_argument);
}
