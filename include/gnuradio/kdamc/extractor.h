/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_EXTRACTOR_H
#define INCLUDED_KDAMC_EXTRACTOR_H

#include <gnuradio/kdamc/api.h>
#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gr {
namespace kdamc {

/*!
 * \brief Takes one signal out of a band: shifts it to 0 Hz, filters, resamples.
 *
 * Half-band filters halve the rate while it is at least four times the output rate; a
 * polyphase filter then interpolates at any ratio, at the nearest of its phases, and is
 * what separates the signal from its neighbours (60 dB). All filters have linear phase
 * and their delay is taken out: output sample k stands for the input at
 * k * sample_rate / output_rate samples after the first one. Before the first sample the
 * input counts as zero.
 *
 * State is carried across calls: any chunking of a stream gives bit-identical results.
 * Not thread-safe; one object a signal.
 */
class KDAMC_API extractor
{
public:
    /*!
     * \param sample_rate of the input, Hz
     * \param centre_hz what becomes 0 Hz, -sample_rate/2 to sample_rate/2
     * \param output_rate Hz, up to 64 times sample_rate
     * \param bandwidth_hz two-sided pass band
     * \param transition_hz width of the slope beyond it, on either side; its end lies
     * within half the lower of the two rates
     * \throws std::invalid_argument
     */
    extractor(double sample_rate,
              double centre_hz,
              double output_rate,
              double bandwidth_hz,
              double transition_hz);

    //! Largest number of samples that process() can write for `n` samples of input.
    size_t room_for(size_t n) const;

    /*!
     * \brief Read all `n` samples.
     * \param out room for room_for(n) samples
     * \returns how many were written
     */
    size_t process(const std::complex<float>* in, size_t n, std::complex<float>* out);

    //! Zeros to append so that every output that stands for a sample read comes out.
    size_t tail() const;

    //! Input samples between output samples.
    double step() const { return d_step * double(size_t(1) << d_halvings.size()); }

    //! Forget all samples: the next one is the first.
    void restart();

private:
    // Samples as a row of I and a row of Q, the oldest first, with room to read beyond.
    struct rows {
        std::vector<float> i, q;
        size_t count = 0;
        void clear(size_t zeros);
        void reserve(size_t more);
        void drop(size_t n);
    };
    // One halving of the rate; samples are kept by the parity of their index.
    struct halving {
        rows even, odd;
        rows made; // what goes to the next halving
        bool next_is_odd;
        void append(const float* i_row, const float* q_row, size_t n);
    };

    void halve(size_t stage);

    // The oscillator is set anew, from its exact phase, every so many samples.
    static constexpr size_t OSCILLATOR_RUN = 64;
    const double d_turns; // of the oscillator, a sample
    std::array<float, OSCILLATOR_RUN> d_cosine, d_sine;
    size_t d_taps; // of the polyphase filter, in each phase
    size_t d_phases;
    double d_step;             // samples of the polyphase filter's input between outputs
    std::vector<float> d_bank; // (d_phases, d_taps)
    std::vector<halving> d_halvings;
    rows d_last;        // what the polyphase filter reads
    uint64_t d_read;    // samples read since the start
    uint64_t d_written; // samples written since the start
    uint64_t d_dropped; // samples of d_last that are gone
};

} // namespace kdamc
} // namespace gr

#endif /* INCLUDED_KDAMC_EXTRACTOR_H */
