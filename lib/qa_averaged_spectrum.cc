/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include <gnuradio/kdamc/averaged_spectrum.h>
#include <boost/test/unit_test.hpp>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

using gr::kdamc::averaged_spectrum;
using sample = std::complex<float>;

namespace {

std::vector<float>
run(averaged_spectrum& spectrum, const std::vector<sample>& x, size_t chunk)
{
    std::vector<float> rows;
    for (size_t at = 0; at < x.size(); at += chunk) {
        const size_t n = std::min(chunk, x.size() - at);
        const size_t before = rows.size(), room = spectrum.room_for(n);
        rows.resize(before + room * spectrum.bins());
        const size_t made = spectrum.process(x.data() + at, n, rows.data() + before);
        BOOST_REQUIRE_LE(made, room);
        rows.resize(before + made * spectrum.bins());
    }
    return rows;
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

} // namespace

BOOST_AUTO_TEST_CASE(white_noise_reads_its_power_in_every_bin)
{
    averaged_spectrum spectrum(64, 2000);
    const auto rows = run(spectrum, noise(64 * 1000 + 32), 777); // of power 2
    BOOST_REQUIRE_EQUAL(rows.size(), 64);
    for (const float power : rows)
        BOOST_CHECK_CLOSE(power, 2.0f, 15.0f);
}

BOOST_AUTO_TEST_CASE(a_tone_stands_in_its_bin_and_leaks_nowhere)
{
    std::vector<sample> x(4096);
    for (size_t k = 0; k < x.size(); k++)
        x[k] = sample(std::polar(1.0, 2 * M_PI * -0.25 * double(k)));
    averaged_spectrum spectrum(256, 4);
    const auto rows = run(spectrum, x, 4096);
    BOOST_REQUIRE_GE(rows.size(), 256);
    BOOST_CHECK_EQUAL(std::max_element(rows.begin(), rows.begin() + 256) - rows.begin(),
                      64);
    BOOST_CHECK_CLOSE(
        std::accumulate(rows.begin(), rows.begin() + 256, 0.0) / 256, 1.0, 0.1);
    for (size_t bin = 0; bin < 256; bin++)
        if (std::abs(int(bin) - 64) > 4)
            BOOST_CHECK_LT(rows[bin] / rows[64], 1e-9f);
}

BOOST_AUTO_TEST_CASE(any_chunking_gives_the_same_bits)
{
    const auto x = noise(20000);
    averaged_spectrum spectrum(128, 3);
    const auto whole = run(spectrum, x, x.size());
    BOOST_CHECK_EQUAL(whole.size() / 128, (x.size() / 64 - 1) / 3);
    for (const size_t chunk : { 1, 63, 129 }) {
        spectrum.restart();
        BOOST_CHECK(run(spectrum, x, chunk) == whole);
    }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused)
{
    BOOST_CHECK_THROW(averaged_spectrum(0, 1), std::invalid_argument);
    BOOST_CHECK_THROW(averaged_spectrum(7, 1), std::invalid_argument);
    BOOST_CHECK_THROW(averaged_spectrum(size_t(1) << 21, 1), std::invalid_argument);
    BOOST_CHECK_THROW(averaged_spectrum(8, 0), std::invalid_argument);
}
