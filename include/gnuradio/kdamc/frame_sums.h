/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_FRAME_SUMS_H
#define INCLUDED_KDAMC_FRAME_SUMS_H

#include <gnuradio/kdamc/api.h>
#include <cstddef>

namespace gr {
namespace kdamc {

/*!
 * \brief Sums over the frames of a decision that have a noise estimate.
 */
struct frame_sums {
    double power;       //!< of their mean powers
    double noise_power; //!< of their noise estimates
    size_t frames;      //!< how many there are
};

/*!
 * \brief What a decision needs of its frames, in one pass.
 *
 * Adds log softmax(scale * logits) of every frame to `log_posteriors`.
 *
 * \param logits (n, classes) row by row
 * \param n frames
 * \param classes values a frame, at least 1
 * \param scale 1 / temperature
 * \param power (n) mean powers
 * \param noise_power (n) noise estimates, NaN where there is none
 * \param log_posteriors (classes) sums that are added to
 */
KDAMC_API frame_sums sum_frames(const float* logits,
                                size_t n,
                                size_t classes,
                                float scale,
                                const float* power,
                                const float* noise_power,
                                double* log_posteriors);

} // namespace kdamc
} // namespace gr

#endif /* INCLUDED_KDAMC_FRAME_SUMS_H */
