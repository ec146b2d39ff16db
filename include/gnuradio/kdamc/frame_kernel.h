/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_FRAME_KERNEL_H
#define INCLUDED_KDAMC_FRAME_KERNEL_H

#include <gnuradio/kdamc/api.h>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gr {
namespace kdamc {

/*!
 * \brief Why a frame was not handed to the network; a frame may have several reasons.
 */
enum frame_flag : uint8_t {
    FRAME_OK = 0,
    FRAME_GATED = 1,     //!< mean power below the gate
    FRAME_SILENT = 2,    //!< all zeros (energy below 1e-30): no scale exists
    FRAME_NONFINITE = 4, //!< a NaN or infinite sample, or energy beyond float32
};

/*!
 * \brief Where the kernel writes what it found of each frame (the caller's memory).
 *
 * All arrays have room for the `max_frames` of frame_kernel::process.
 */
struct frame_table {
    uint64_t* start;    //!< absolute index of the frame's first sample
    float* power;       //!< mean of |x|^2 over the frame
    float* noise_power; //!< estimated noise power, NaN where the model does not hold
    float* snr_est_db;  //!< estimated SNR in the whole sampled band, dB, or NaN
    uint8_t* flags;     //!< frame_flag bits
};

/*!
 * \brief Cuts a stream into frames and makes network input of them, in one pass.
 *
 * A frame is L consecutive samples; frames start every `hop` samples (overlapping,
 * contiguous or with gaps). Frames that pass are scaled to RMS 1 and written planar, I
 * row then Q row, into the caller's array; the others are only listed. State is carried
 * across calls: any chunking of a stream gives bit-identical results, because each frame
 * is computed from its samples alone, always by the same instructions.
 *
 * SNR estimate: white-noise floor by differences. A signal that is oversampled at least
 * about four times has almost no energy near half the sample rate. The sixth difference
 * (-1, 6, -15, 20, ...) suppresses by sin^12 what lies near 0 Hz and passes noise with
 * the gain sum(C(6, k)^2) = C(12, 6) = 924, so its mean square over 924 is the noise
 * power. No constellation is assumed. The fourth difference (gain 70), which leaks far
 * more signal, must agree with the sixth; where it does not (an undersampled or wideband
 * signal, coloured noise, an SNR beyond the method's range) the estimate is NaN. It is
 * also NaN where signal power is within 3 standard errors of nothing. The differences are
 * evaluated on one run of 8 samples in every 64: their outputs are strongly correlated,
 * and reading them all would double the cost of the kernel.
 *
 * Not thread-safe; one object a stream. process() does not allocate.
 */
class KDAMC_API frame_kernel
{
public:
    struct result {
        size_t consumed;  //!< samples taken from the input
        size_t frames;    //!< rows written to the table
        size_t delivered; //!< frames written to the network array (flags == FRAME_OK)
    };

    /*!
     * \param frame_len samples a frame, 1 to 2^20
     * \param hop samples between frame starts, at least 1
     * \param gate_power mean power below which a frame is gated; 0 lets every frame pass
     * \throws std::invalid_argument
     */
    frame_kernel(size_t frame_len, size_t hop, float gate_power = 0.0f);

    /*!
     * \brief Read up to `n` samples and emit up to `max_frames` frames.
     *
     * Stops when either the input or the table is used up; call again with the rest.
     *
     * \param in complex samples
     * \param n how many
     * \param table a row for each frame, flagged ones included
     * \param iq planar frames that passed, (max_frames, 2, L) floats, densely packed
     * \param max_frames room in `table` and in `iq`
     */
    result process(const std::complex<float>* in,
                   size_t n,
                   const frame_table& table,
                   float* iq,
                   size_t max_frames);

    /*!
     * \brief Forget the samples kept so far: the next frame starts at the next sample.
     * \param position absolute index of that sample
     */
    void restart(uint64_t position);

    //! Absolute index of the next sample to be read.
    uint64_t position() const { return d_position; }

    //! Absolute index of the first sample of the next frame.
    uint64_t next_start() const { return d_position - d_held + d_skip; }

    //! Samples read that belong to frames not yet emitted, oldest first.
    std::vector<std::complex<float>> pending() const;

    size_t frame_len() const { return d_frame_len; }
    size_t hop() const { return d_hop; }
    float gate_power() const { return d_gate_power; }

    //! Takes effect from the start of the next frame. \throws std::invalid_argument
    void set_hop(size_t hop);
    //! Takes effect from the next frame. \throws std::invalid_argument
    void set_gate_power(float gate_power);

private:
    void emit(const std::complex<float>* first,
              size_t count,
              uint64_t start,
              const frame_table& table,
              float* iq,
              result& done) const;

    const size_t d_frame_len;
    size_t d_hop;
    float d_gate_power;
    const float d_white;  // bound on the ratio of the two noise estimates
    const float d_margin; // (power - noise) / noise that is significant
    uint64_t d_position = 0;
    //! Samples to pass over before the next frame starts (hop > frame length).
    size_t d_skip = 0;
    //! The first d_held samples of the next frames, then room to complete them.
    std::vector<std::complex<float>> d_history;
    size_t d_held = 0;
};

/*!
 * \brief SNR in dB from mean frame power and noise power, as frame_kernel reports it.
 *
 * \param power mean power of the frames considered
 * \param noise_power mean of their noise estimates
 * \param samples number of samples both were taken over
 * \returns 10 log10((power - noise) / noise), NaN where noise_power is NaN or the
 * difference is within 3 standard errors of 0
 */
KDAMC_API float snr_db(float power, float noise_power, size_t samples);

/*!
 * \brief Scale complex frames to RMS 1, keeping their layout.
 *
 * Frames that are silent or not finite are written as zeros.
 *
 * \param in `count` frames of `frame_len` samples
 * \param out the same shape; may be `in`
 * \returns how many frames were silent or not finite
 */
KDAMC_API size_t normalize_rms(const std::complex<float>* in,
                               std::complex<float>* out,
                               size_t frame_len,
                               size_t count);

/*!
 * \brief Interleaved complex frames (n, L) to planar (n, 2, L), without scaling.
 */
KDAMC_API void
planar_frames(const std::complex<float>* in, float* out, size_t frame_len, size_t count);

} // namespace kdamc
} // namespace gr

#endif /* INCLUDED_KDAMC_FRAME_KERNEL_H */
