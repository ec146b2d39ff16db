/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include <gnuradio/kdamc/frame_sums.h>
#include <algorithm>
#include <cmath>

namespace gr {
namespace kdamc {

frame_sums sum_frames(const float* logits,
                      size_t n,
                      size_t classes,
                      float scale,
                      const float* power,
                      const float* noise_power,
                      double* log_posteriors)
{
    frame_sums sums = { 0.0, 0.0, 0 };
    for (size_t k = 0; k < n; k++, logits += classes) {
        const float largest = *std::max_element(logits, logits + classes);
        float total = 0.0f;
        for (size_t c = 0; c < classes; c++)
            total += std::exp(scale * (logits[c] - largest));
        const float evidence = scale * largest + std::log(total);
        for (size_t c = 0; c < classes; c++)
            log_posteriors[c] += scale * logits[c] - evidence;
        if (std::isfinite(noise_power[k])) {
            sums.power += power[k];
            sums.noise_power += noise_power[k];
            sums.frames++;
        }
    }
    return sums;
}

} // namespace kdamc
} // namespace gr
