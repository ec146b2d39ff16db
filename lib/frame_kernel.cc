/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#include "vectors.h"
#include <gnuradio/kdamc/frame_kernel.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace gr {
namespace kdamc {
namespace {

constexpr size_t MAX_FRAME_LEN = size_t(1) << 20;
constexpr float NO_ESTIMATE = std::numeric_limits<float>::quiet_NaN();
// Below this energy 1/rms leaves float32; it lies 300 dB under full scale.
constexpr float SILENT_ENERGY = 1e-30f;

// Noise is measured on 8 outputs of the difference filters in each 64 samples.
constexpr size_t NOISE_RUN = 8;
constexpr size_t NOISE_STEP = 64;
constexpr size_t NOISE_SPAN = NOISE_RUN + 6; // samples read for a run
constexpr float D4_GAIN = 70.0f;             // C(8, 4)
constexpr float D6_GAIN = 924.0f;            // C(12, 6)
// Standard error of power minus noise estimate, in units of noise / sqrt(samples):
// simulated on white noise with frames of 128 to 1024 samples (4.6 to 4.8).
constexpr float SNR_STANDARD_ERROR = 4.7f;
// The floor counts as white if |ln(d4 / d6)| stays under this: a fixed allowance and the
// 99.9 % quantile for white noise, times 1/sqrt(outputs).
constexpr float WHITE_ALLOWANCE = 0.1f;
constexpr float WHITE_QUANTILE = 1.1f;

// Sum of the squares of n floats.
KDAMC_INLINE float energy(const float* x, size_t n)
{
    vec16 even = {}, odd = {};
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        const vec16 u = load(x + i);
        const vec16 w = load(x + i + LANES);
        even += u * u;
        odd += w * w;
    }
    float rest = 0.0f;
    for (; i < n; i++)
        rest += x[i] * x[i];
    return sum(even + odd) + rest;
}

struct noise_energy {
    float d4, d6;
    size_t outputs;
};

// Energy of the fourth and sixth difference of `len` complex samples.
KDAMC_INLINE noise_energy difference_energy(const float* x, size_t len)
{
    vec16 d4 = {}, d6 = {};
    size_t outputs = 0;
    for (size_t b = 0; b + NOISE_SPAN <= len; b += NOISE_STEP) {
        const float* p = x + 2 * b;
        const vec16 centre = load(p + 6);
        const vec16 near = load(p + 4) + load(p + 8);
        const vec16 middle = load(p + 2) + load(p + 10);
        const vec16 far = load(p) + load(p + 12);
        const vec16 y4 = middle - 4.0f * near + 6.0f * centre;
        const vec16 y6 = far - 6.0f * middle + 15.0f * near - 20.0f * centre;
        d4 += y4 * y4;
        d6 += y6 * y6;
        outputs += NOISE_RUN;
    }
    return { sum(d4), sum(d6), outputs };
}

// Interleaved complex to an I row and a Q row, times gain.
KDAMC_INLINE void
planar(const float* x, size_t len, float gain, float* i_row, float* q_row)
{
    size_t i = 0;
    for (; i + LANES <= len; i += LANES) {
        const vec16 u = load(x + 2 * i);
        const vec16 w = load(x + 2 * i + LANES);
        store(i_row + i,
              gain *
                  __builtin_shufflevector(
                      u, w, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
        store(q_row + i,
              gain *
                  __builtin_shufflevector(
                      u, w, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
    }
    for (; i < len; i++) {
        i_row[i] = gain * x[2 * i];
        q_row[i] = gain * x[2 * i + 1];
    }
}

// 10 log10(x) for normal x > 0, within 2e-5 dB; unlike std::log10 the loop over frames
// vectorises. The polynomial interpolates log2(1 + t) / t at Chebyshev nodes of [0, 1].
KDAMC_INLINE float decibel(float x)
{
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    const float exponent = float(int32_t(bits >> 23) - 127);
    bits = (bits & 0x007fffffu) | 0x3f800000u;
    float t;
    std::memcpy(&t, &bits, sizeof(t));
    t -= 1.0f;
    float p = 0.02001664973795414f;
    for (const float c : { -0.09462680667638779f,
                           0.213943213224411f,
                           -0.3383772075176239f,
                           0.47749635577201843f,
                           -0.7211440801620483f,
                           1.4426929950714111f })
        p = p * t + c;
    return 3.01029996f * (exponent + t * p);
}

KDAMC_INLINE float estimate_db(float power, float noise, float margin)
{
    const float ratio = (power - noise) / noise;
    // NaN compares false, so a noise estimate of NaN ends here too.
    return ratio > margin ? decibel(ratio) : NO_ESTIMATE;
}

float significance(size_t samples)
{
    return 3.0f * SNR_STANDARD_ERROR / std::sqrt(float(samples));
}

KDAMC_CLONES
size_t make_frames(const float* x,
                   size_t len,
                   size_t hop,
                   size_t count,
                   float gate_power,
                   float white,
                   float margin,
                   const frame_table& table,
                   size_t row,
                   float* iq)
{
    const float per_sample = 1.0f / float(len);
    size_t delivered = 0;
    for (size_t k = 0; k < count; k++, x += 2 * hop) {
        const float total = energy(x, 2 * len);
        const noise_energy floor = difference_energy(x, len);
        const float power = total * per_sample;

        uint8_t flags = FRAME_OK;
        if (!(total <= std::numeric_limits<float>::max()))
            flags |= FRAME_NONFINITE;
        else if (total < SILENT_ENERGY)
            flags |= FRAME_SILENT;
        if (power < gate_power)
            flags |= FRAME_GATED;

        const float n4 = floor.d4 * (1.0f / D4_GAIN);
        const float n6 = floor.d6 * (1.0f / D6_GAIN);
        // Written so that a NaN, or a frame too short for an output, holds no estimate.
        const bool is_white = n6 > 0.0f && n4 < white * n6 && n6 < white * n4;

        table.power[row + k] = power;
        table.noise_power[row + k] = is_white ? n6 / float(floor.outputs) : NO_ESTIMATE;
        table.flags[row + k] = flags;
        if (flags == FRAME_OK) {
            float* frame = iq + 2 * len * delivered++;
            planar(x, len, 1.0f / std::sqrt(power), frame, frame + len);
        }
    }
    for (size_t k = row; k < row + count; k++)
        table.snr_est_db[k] = estimate_db(table.power[k], table.noise_power[k], margin);
    return delivered;
}

KDAMC_CLONES
void planar_run(const float* x, float* out, size_t len, size_t count)
{
    for (size_t k = 0; k < count; k++)
        planar(x + 2 * len * k, len, 1.0f, out + 2 * len * k, out + 2 * len * k + len);
}

KDAMC_CLONES
size_t normalize_run(const float* x, float* out, size_t len, size_t count)
{
    size_t refused = 0;
    for (size_t k = 0; k < count; k++, x += 2 * len, out += 2 * len) {
        const float total = energy(x, 2 * len);
        if (total >= SILENT_ENERGY && total <= std::numeric_limits<float>::max()) {
            const float gain = 1.0f / std::sqrt(total / float(len));
            for (size_t i = 0; i < 2 * len; i++)
                out[i] = gain * x[i];
        } else {
            std::fill(out, out + 2 * len, 0.0f);
            refused++;
        }
    }
    return refused;
}

size_t noise_outputs(size_t len)
{
    return len < NOISE_SPAN ? 0 : NOISE_RUN * ((len - NOISE_SPAN) / NOISE_STEP + 1);
}

size_t checked_hop(size_t hop)
{
    if (hop < 1)
        throw std::invalid_argument("hop must be at least 1 sample");
    return hop;
}

size_t checked_len(size_t frame_len)
{
    if (frame_len < 1 || frame_len > MAX_FRAME_LEN)
        throw std::invalid_argument("frame length must be 1 to " +
                                    std::to_string(MAX_FRAME_LEN) + " samples, not " +
                                    std::to_string(frame_len));
    return frame_len;
}

float checked_gate(float gate_power)
{
    if (!(gate_power >= 0.0f) || std::isinf(gate_power))
        throw std::invalid_argument("gate power must be finite and not negative");
    return gate_power;
}

const float* floats(const std::complex<float>* p)
{
    return reinterpret_cast<const float*>(p);
}

} // namespace

frame_kernel::frame_kernel(size_t frame_len, size_t hop, float gate_power)
    : d_frame_len(checked_len(frame_len)),
      d_hop(checked_hop(hop)),
      d_gate_power(checked_gate(gate_power)),
      d_white(std::exp(WHITE_ALLOWANCE +
                       WHITE_QUANTILE / std::sqrt(float(noise_outputs(frame_len))))),
      d_margin(significance(frame_len)),
      d_history(2 * frame_len)
{
}

void frame_kernel::set_hop(size_t hop)
{
    d_hop = checked_hop(hop);
    // The gap before the next frame was the old hop's: no longer than the new one now.
    d_skip = std::min(d_skip, d_hop);
}

void frame_kernel::set_gate_power(float gate_power)
{
    d_gate_power = checked_gate(gate_power);
}

void frame_kernel::restart(uint64_t position)
{
    d_position = position;
    d_skip = 0;
    d_held = 0;
}

std::vector<std::complex<float>> frame_kernel::pending() const
{
    return { d_history.begin(), d_history.begin() + d_held };
}

void frame_kernel::emit(const std::complex<float>* first,
                        size_t count,
                        uint64_t start,
                        const frame_table& table,
                        float* iq,
                        result& done) const
{
    for (size_t k = 0; k < count; k++)
        table.start[done.frames + k] = start + k * d_hop;
    done.delivered += make_frames(floats(first),
                                  d_frame_len,
                                  d_hop,
                                  count,
                                  d_gate_power,
                                  d_white,
                                  d_margin,
                                  table,
                                  done.frames,
                                  iq + 2 * d_frame_len * done.delivered);
    done.frames += count;
}

frame_kernel::result frame_kernel::process(const std::complex<float>* in,
                                           size_t n,
                                           const frame_table& table,
                                           float* iq,
                                           size_t max_frames)
{
    result done = { 0, 0, 0 };
    const auto take = [&](size_t samples) {
        done.consumed += samples;
        d_position += samples;
    };

    // Frames that start among the held samples are completed with the input's first ones.
    if (d_held > 0 && done.frames < max_frames) {
        const size_t borrowed = std::min(n, d_frame_len - 1);
        std::copy(in, in + borrowed, d_history.begin() + d_held);
        const size_t filled = d_held + borrowed;
        size_t at = 0;
        if (filled >= d_frame_len) {
            const size_t complete = (filled - d_frame_len) / d_hop + 1;
            const size_t starting = (d_held - 1) / d_hop + 1;
            const size_t count =
                std::min({ complete, starting, max_frames - done.frames });
            emit(d_history.data(), count, d_position - d_held, table, iq, done);
            at = count * d_hop;
        }
        if (at >= d_held) {
            d_skip = at - d_held;
            d_held = 0;
        } else if (at + d_frame_len > filled) {
            // The input ended inside the next frame: all of it is kept. (Input of
            // L - 1 samples or more always completes every frame that was held.)
            std::copy(
                d_history.begin() + at, d_history.begin() + filled, d_history.begin());
            d_held = filled - at;
            take(borrowed);
            return done;
        } else {
            // The table is full; what was borrowed stays with the caller.
            std::copy(
                d_history.begin() + at, d_history.begin() + d_held, d_history.begin());
            d_held -= at;
            return done;
        }
    }

    while (d_held == 0) {
        const size_t passed = std::min(d_skip, n - done.consumed);
        take(passed);
        d_skip -= passed;
        const size_t left = n - done.consumed;
        if (left == 0)
            break;
        if (left < d_frame_len) {
            std::copy(in + done.consumed, in + n, d_history.begin());
            d_held = left;
            take(left);
            break;
        }
        const size_t count =
            std::min((left - d_frame_len) / d_hop + 1, max_frames - done.frames);
        if (count == 0)
            break;
        emit(in + done.consumed, count, d_position, table, iq, done);
        d_skip = count * d_hop;
    }
    return done;
}

float snr_db(float power, float noise_power, size_t samples)
{
    return estimate_db(power, noise_power, significance(samples));
}

size_t normalize_rms(const std::complex<float>* in,
                     std::complex<float>* out,
                     size_t frame_len,
                     size_t count)
{
    return normalize_run(floats(in), reinterpret_cast<float*>(out), frame_len, count);
}

void planar_frames(const std::complex<float>* in,
                   float* out,
                   size_t frame_len,
                   size_t count)
{
    planar_run(floats(in), out, frame_len, count);
}

} // namespace kdamc
} // namespace gr
