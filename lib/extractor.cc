/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include "vectors.h"
#include <gnuradio/kdamc/extractor.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

namespace gr {
namespace kdamc {
namespace {

// Samples that are worked off at once, so that scratch space stays in the cache.
constexpr size_t RUN = 4096;
constexpr double MAX_RATIO = 64.0;
constexpr size_t MAX_HALVINGS = 24;

// Half-band filter: 23 taps, of which the outer ones with odd index are zero. Pass band
// to 1/8 of the rate, stop band from 3/8.
constexpr size_t HALF_BAND_PAIRS = 6;
constexpr size_t HALF_BAND_DELAY = 2 * HALF_BAND_PAIRS - 1;
constexpr double HALF_BAND_ATTENUATION_DB = 90.0;

constexpr double ATTENUATION_DB = 60.0;
// A phase more costs memory only; the bank should stay within the second-level cache.
constexpr size_t MAX_BANK = size_t(1) << 16; // floats
constexpr size_t MIN_PHASES = 128;
constexpr size_t MAX_PHASES = 1024;

double bessel_i0(double x)
{
    double sum = 1.0, term = 1.0;
    for (int k = 1; term > 1e-16 * sum; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

// Kaiser's formulas (J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh
// window function", 1974), for attenuations above 50 dB.
double kaiser_beta(double attenuation_db) { return 0.1102 * (attenuation_db - 8.7); }

// A low pass of cut-off `cutoff` (cycles a sample) at time t, windowed to |t| <= half.
double windowed_sinc(double t, double cutoff, double half, double beta)
{
    if (std::abs(t) >= half)
        return 0.0;
    const double x = 2 * M_PI * cutoff * t;
    const double sinc = std::abs(x) < 1e-9 ? 1.0 : std::sin(x) / x;
    const double edge = t / half;
    return 2 * cutoff * sinc * bessel_i0(beta * std::sqrt(1 - edge * edge)) /
           bessel_i0(beta);
}

// The outer half of the half-band filter's taps with even index, outermost first.
std::array<float, HALF_BAND_PAIRS> design_half_band()
{
    std::array<double, HALF_BAND_PAIRS> taps;
    double sum = 0.0;
    for (size_t j = 0; j < HALF_BAND_PAIRS; j++) {
        taps[j] = windowed_sinc(double(HALF_BAND_DELAY) - 2.0 * double(j),
                                0.25,
                                HALF_BAND_DELAY + 1,
                                kaiser_beta(HALF_BAND_ATTENUATION_DB));
        sum += taps[j];
    }
    // The middle tap is a half, so the pairs make up the other half.
    std::array<float, HALF_BAND_PAIRS> scaled;
    for (size_t j = 0; j < HALF_BAND_PAIRS; j++)
        scaled[j] = float(taps[j] * 0.25 / sum);
    return scaled;
}

// Shift: interleaved samples times an oscillator, which is a table times its value at the
// table's start, to an I row and a Q row.
KDAMC_CLONES
void mix(const float* in,
         size_t n,
         const float* cosine,
         const float* sine,
         std::complex<float> start,
         float* i_row,
         float* q_row)
{
    const float c = start.real(), s = start.imag();
    for (size_t j = 0; j < n; j++) {
        const float turn_i = cosine[j] * c - sine[j] * s;
        const float turn_q = cosine[j] * s + sine[j] * c;
        const float i = in[2 * j], q = in[2 * j + 1];
        i_row[j] = i * turn_i - q * turn_q;
        q_row[j] = i * turn_q + q * turn_i;
    }
}

// Every second float, from the first one on.
KDAMC_CLONES
void every_second(const float* in, size_t n, float* out)
{
    for (size_t j = 0; j < n; j++)
        out[j] = in[2 * j];
}

// Outputs in whole vectors: reads and writes up to LANES - 1 floats beyond what counts.
KDAMC_CLONES
void half_band(
    const float* even, const float* odd, size_t n, const float* taps, float* out)
{
    for (size_t m = 0; m < n; m += LANES) {
        vec16 sum = 0.5f * load(odd + m + HALF_BAND_PAIRS - 1);
        for (size_t j = 0; j < HALF_BAND_PAIRS; j++)
            sum += taps[j] *
                   (load(even + m + j) + load(even + m + 2 * HALF_BAND_PAIRS - 1 - j));
        store(out + m, sum);
    }
}

// `taps` floats of one phase against a stretch of samples; `taps` is a multiple of LANES.
KDAMC_INLINE float dot(const float* phase, const float* x, size_t taps)
{
    vec16 a = {}, b = {};
    size_t j = 0;
    for (; j + 2 * LANES <= taps; j += 2 * LANES) {
        a += load(phase + j) * load(x + j);
        b += load(phase + j + LANES) * load(x + j + LANES);
    }
    if (j < taps)
        a += load(phase + j) * load(x + j);
    return sum(a + b);
}

struct bank {
    const float* taps;
    size_t taps_each;
    size_t phases;
};

// Outputs `first` and after, at multiples of `step`, while the samples reach; row index 0
// is sample `dropped`. Returns the index of the first output that was not made.
KDAMC_CLONES
uint64_t interpolate(const bank& filter,
                     const float* i_row,
                     const float* q_row,
                     size_t count,
                     uint64_t dropped,
                     uint64_t first,
                     double step,
                     float* out)
{
    uint64_t k = first;
    for (;; k++, out += 2) {
        const double at = double(k) * step;
        const double whole = std::floor(at);
        size_t phase = size_t((at - whole) * double(filter.phases) + 0.5);
        uint64_t sample = uint64_t(whole);
        if (phase == filter.phases) {
            phase = 0;
            sample++;
        }
        const uint64_t row = sample - dropped;
        if (row + filter.taps_each > count)
            return k;
        const float* taps = filter.taps + phase * filter.taps_each;
        out[0] = dot(taps, i_row + row, filter.taps_each);
        out[1] = dot(taps, q_row + row, filter.taps_each);
    }
}

std::string hertz(double value) { return std::to_string(value) + " Hz"; }

} // namespace

void extractor::rows::clear(size_t zeros)
{
    i.assign(zeros + RUN + LANES, 0.0f);
    q.assign(zeros + RUN + LANES, 0.0f);
    count = zeros;
}

void extractor::rows::reserve(size_t more)
{
    // Room to write and read whole vectors beyond the last sample.
    const size_t wanted = count + more + LANES;
    if (i.size() < wanted) {
        i.resize(wanted);
        q.resize(wanted);
    }
}

void extractor::rows::drop(size_t n)
{
    std::copy(i.begin() + n, i.begin() + count, i.begin());
    std::copy(q.begin() + n, q.begin() + count, q.begin());
    count -= n;
}

extractor::extractor(double sample_rate,
                     double centre_hz,
                     double output_rate,
                     double bandwidth_hz,
                     double transition_hz)
    : d_turns(-centre_hz / sample_rate)
{
    if (!(sample_rate > 0) || !std::isfinite(sample_rate))
        throw std::invalid_argument("sample_rate must be above 0");
    if (!(std::abs(centre_hz) <= sample_rate / 2))
        throw std::invalid_argument("centre_hz is outside the band");
    if (!(output_rate > 0) || !(output_rate <= MAX_RATIO * sample_rate))
        throw std::invalid_argument("output_rate must be above 0 and at most " +
                                    hertz(MAX_RATIO * sample_rate));
    if (!(bandwidth_hz > 0) || !(transition_hz > 0))
        throw std::invalid_argument("bandwidth_hz and transition_hz must be above 0");
    const double lower = std::min(sample_rate, output_rate);
    // A rounding error of the caller's arithmetic is forgiven.
    if (!(bandwidth_hz / 2 + transition_hz <= lower / 2 * (1 + 1e-9)))
        throw std::invalid_argument("the pass band and its slope need " +
                                    hertz(bandwidth_hz + 2 * transition_hz) + ", " +
                                    hertz(lower) + " is the lower rate");

    double rate = sample_rate;
    size_t halvings = 0;
    for (; rate >= 4 * output_rate; rate /= 2)
        halvings++;
    if (halvings > MAX_HALVINGS)
        throw std::invalid_argument("output_rate must be at least " +
                                    hertz(sample_rate / (size_t(1) << MAX_HALVINGS)));
    d_halvings.resize(halvings);
    d_step = rate / output_rate;

    const double cutoff = (bandwidth_hz / 2 + transition_hz / 2) / rate;
    const double wanted = (ATTENUATION_DB - 8.0) / (14.36 * transition_hz / rate) + 1;
    d_taps = (size_t(wanted) / LANES + 1) * LANES;
    d_phases = MAX_PHASES;
    while (d_phases > MIN_PHASES && d_phases * d_taps > MAX_BANK)
        d_phases /= 2;
    for (size_t j = 0; j < OSCILLATOR_RUN; j++) {
        d_cosine[j] = float(std::cos(2 * M_PI * d_turns * double(j)));
        d_sine[j] = float(std::sin(2 * M_PI * d_turns * double(j)));
    }
    d_bank.resize(d_phases * d_taps);
    const double beta = kaiser_beta(ATTENUATION_DB);
    for (size_t phase = 0; phase < d_phases; phase++) {
        float* taps = d_bank.data() + phase * d_taps;
        double sum = 0.0;
        for (size_t j = 0; j < d_taps; j++) {
            // Tap j reads the sample j - (taps / 2 - 1) after the whole part of the time.
            const double t =
                double(j) - (double(d_taps) / 2 - 1) - double(phase) / double(d_phases);
            const double tap = windowed_sinc(t, cutoff, double(d_taps) / 2, beta);
            taps[j] = float(tap);
            sum += tap;
        }
        for (size_t j = 0; j < d_taps; j++)
            taps[j] = float(taps[j] / sum);
    }
    restart();
}

void extractor::restart()
{
    for (auto& stage : d_halvings) {
        // The zeros before the first sample, so that no delay remains.
        stage.even.clear(HALF_BAND_PAIRS);
        stage.odd.clear(HALF_BAND_PAIRS - 1);
        stage.next_is_odd = true;
    }
    d_last.clear(d_taps / 2 - 1);
    d_read = d_written = d_dropped = 0;
}

size_t extractor::room_for(size_t n) const
{
    // At most one output more than the samples stand for, since delays only hold back.
    const double all = double(d_read + n) / step() + 1;
    return size_t(all - double(d_written)) + 1;
}

size_t extractor::tail() const
{
    const size_t factor = size_t(1) << d_halvings.size();
    return factor * (d_taps / 2 + 1) + HALF_BAND_DELAY * (factor - 1);
}

void extractor::halve(size_t stage)
{
    static const auto taps = design_half_band();
    auto& from = d_halvings[stage];
    // Output m reads even m .. m + 11 and odd m + 5.
    const size_t reach = 2 * HALF_BAND_PAIRS - 1;
    if (from.even.count <= reach || from.odd.count < HALF_BAND_PAIRS)
        return;
    const size_t n =
        std::min(from.even.count - reach, from.odd.count - (HALF_BAND_PAIRS - 1));
    const bool is_last = stage + 1 == d_halvings.size();
    from.even.reserve(LANES);
    from.odd.reserve(LANES + HALF_BAND_PAIRS);
    rows& to = is_last ? d_last : from.made;
    if (!is_last)
        to.count = 0;
    to.reserve(n);
    half_band(
        from.even.i.data(), from.odd.i.data(), n, taps.data(), to.i.data() + to.count);
    half_band(
        from.even.q.data(), from.odd.q.data(), n, taps.data(), to.q.data() + to.count);
    from.even.drop(n);
    from.odd.drop(n);
    to.count += n;
    if (is_last)
        return;
    d_halvings[stage + 1].append(to.i.data(), to.q.data(), n);
    halve(stage + 1);
}

void extractor::halving::append(const float* i_row, const float* q_row, size_t n)
{
    const size_t evens = next_is_odd ? n / 2 : (n + 1) / 2;
    const size_t first_even = next_is_odd ? 1 : 0;
    even.reserve(evens);
    odd.reserve(n - evens);
    every_second(i_row + first_even, evens, even.i.data() + even.count);
    every_second(q_row + first_even, evens, even.q.data() + even.count);
    every_second(i_row + 1 - first_even, n - evens, odd.i.data() + odd.count);
    every_second(q_row + 1 - first_even, n - evens, odd.q.data() + odd.count);
    even.count += evens;
    odd.count += n - evens;
    next_is_odd = next_is_odd != (n % 2 == 1);
}

size_t
extractor::process(const std::complex<float>* in, size_t n, std::complex<float>* out)
{
    std::array<float, RUN> i_row, q_row;
    const uint64_t written_before = d_written;
    while (n > 0) {
        const size_t run = std::min(n, RUN);
        for (size_t done = 0; done < run;) {
            const size_t offset = (d_read + done) % OSCILLATOR_RUN;
            const size_t part = std::min(OSCILLATOR_RUN - offset, run - done);
            // The phase at the start of this run of the oscillator, exactly.
            const double turns = std::fmod(d_turns * double(d_read + done - offset), 1.0);
            mix(reinterpret_cast<const float*>(in + done),
                part,
                d_cosine.data() + offset,
                d_sine.data() + offset,
                std::complex<float>(std::polar(1.0, 2 * M_PI * turns)),
                i_row.data() + done,
                q_row.data() + done);
            done += part;
        }
        if (d_halvings.empty()) {
            d_last.reserve(run);
            std::copy_n(i_row.data(), run, d_last.i.data() + d_last.count);
            std::copy_n(q_row.data(), run, d_last.q.data() + d_last.count);
            d_last.count += run;
        } else {
            d_halvings[0].append(i_row.data(), q_row.data(), run);
            halve(0);
        }
        d_read += run;
        in += run;
        n -= run;

        const bank filter = { d_bank.data(), d_taps, d_phases };
        const uint64_t next = interpolate(filter,
                                          d_last.i.data(),
                                          d_last.q.data(),
                                          d_last.count,
                                          d_dropped,
                                          d_written,
                                          d_step,
                                          reinterpret_cast<float*>(out));
        out += next - d_written;
        d_written = next;
        const uint64_t needed = uint64_t(double(d_written) * d_step);
        const size_t gone = std::min<uint64_t>(needed - d_dropped, d_last.count);
        d_last.drop(gone);
        d_dropped += gone;
    }
    return d_written - written_before;
}

} // namespace kdamc
} // namespace gr
