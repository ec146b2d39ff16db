/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_AVERAGED_SPECTRUM_H
#define INCLUDED_KDAMC_AVERAGED_SPECTRUM_H

#include <gnuradio/fft/fft.h>
#include <gnuradio/kdamc/api.h>
#include <complex>
#include <cstddef>
#include <vector>

namespace gr {
namespace kdamc {

/*!
 * \brief Power spectra of a stream, each the mean over several windowed, half overlapping
 * transforms (P. D. Welch, 1967).
 *
 * A row is what a stretch of `row_samples()` samples holds, in bins from -1/2 to 1/2 of
 * the sample rate; white noise of power p reads p in every bin. The window is
 * Blackman-Harris (four terms): what leaks from a strong signal lies 92 dB under it.
 *
 * Not thread-safe; one object a stream.
 */
class KDAMC_API averaged_spectrum
{
public:
    /*!
     * \param bins of a transform, even
     * \param averages transforms in a row
     * \throws std::invalid_argument
     */
    averaged_spectrum(size_t bins, size_t averages);

    //! Samples between the starts of rows.
    size_t row_samples() const { return d_averages * d_bins / 2; }
    size_t bins() const { return d_bins; }

    //! Largest number of rows that process() can write for `n` samples.
    size_t room_for(size_t n) const;

    /*!
     * \brief Read all `n` samples.
     * \param rows room for room_for(n) rows of bins() floats
     * \returns how many were written
     */
    size_t process(const std::complex<float>* in, size_t n, float* rows);

    //! Forget all samples.
    void restart();

private:
    const size_t d_bins;
    const size_t d_averages;
    gr::fft::fft_complex_fwd d_fft;
    std::vector<float> d_window; // scaled to mean square 1 / bins
    size_t d_kept;               // how many of the next transform are there
    std::vector<std::complex<float>> d_next;
    std::vector<float> d_sum;
    size_t d_summed;
};

} // namespace kdamc
} // namespace gr

#endif /* INCLUDED_KDAMC_AVERAGED_SPECTRUM_H */
