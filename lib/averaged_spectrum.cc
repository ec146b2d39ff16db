/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include "vectors.h"
#include <gnuradio/fft/window.h>
#include <gnuradio/kdamc/averaged_spectrum.h>
#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace gr {
namespace kdamc {
namespace {

constexpr size_t MAX_BINS = size_t(1) << 20;

size_t checked_bins(size_t bins)
{
    if (bins < 2 || bins % 2 || bins > MAX_BINS)
        throw std::invalid_argument("bins must be even, 2 to 2^20");
    return bins;
}

KDAMC_CLONES
void window_samples(const float* in, const float* window, size_t n, float* out)
{
    for (size_t j = 0; j < n; j++) {
        out[2 * j] = in[2 * j] * window[j];
        out[2 * j + 1] = in[2 * j + 1] * window[j];
    }
}

KDAMC_CLONES
void add_power(const float* in, size_t n, float* sum)
{
    for (size_t j = 0; j < n; j++)
        sum[j] += in[2 * j] * in[2 * j] + in[2 * j + 1] * in[2 * j + 1];
}

} // namespace

averaged_spectrum::averaged_spectrum(size_t bins, size_t averages)
    : d_bins(checked_bins(bins)),
      d_averages(averages),
      d_fft(int(bins)),
      d_window(gr::fft::window::blackman_harris(int(bins), 92)),
      d_next(bins),
      d_sum(bins)
{
    if (averages < 1)
        throw std::invalid_argument("averages must be at least 1");
    double energy = 0.0;
    for (const float w : d_window)
        energy += double(w) * w;
    for (float& w : d_window)
        w = float(w / std::sqrt(energy));
    restart();
}

void averaged_spectrum::restart()
{
    d_kept = d_summed = 0;
    std::fill(d_sum.begin(), d_sum.end(), 0.0f);
}

size_t averaged_spectrum::room_for(size_t n) const
{
    return (n + d_kept) / (d_bins / 2) / d_averages + 1;
}

size_t averaged_spectrum::process(const std::complex<float>* in, size_t n, float* rows)
{
    const size_t half = d_bins / 2;
    size_t written = 0;
    while (n > 0) {
        const size_t part = std::min(n, d_bins - d_kept);
        std::copy_n(in, part, d_next.begin() + d_kept);
        d_kept += part;
        in += part;
        n -= part;
        if (d_kept < d_bins)
            break;
        window_samples(reinterpret_cast<const float*>(d_next.data()),
                       d_window.data(),
                       d_bins,
                       reinterpret_cast<float*>(d_fft.get_inbuf()));
        d_fft.execute();
        const float* bins = reinterpret_cast<const float*>(d_fft.get_outbuf());
        // Negative frequencies first.
        add_power(bins + 2 * half, half, d_sum.data());
        add_power(bins, half, d_sum.data() + half);
        std::copy(d_next.begin() + half, d_next.end(), d_next.begin());
        d_kept = half;
        if (++d_summed == d_averages) {
            const float scale = 1.0f / float(d_averages);
            for (const float power : d_sum)
                *rows++ = power * scale;
            std::fill(d_sum.begin(), d_sum.end(), 0.0f);
            d_summed = 0;
            written++;
        }
    }
    return written;
}

} // namespace kdamc
} // namespace gr
