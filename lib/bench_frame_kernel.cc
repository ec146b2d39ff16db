/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

// Input bytes/s of the frame kernel over those of memcpy, in turn, for small and large
// calls. Prints one JSON object; run by script/bench.

#include <gnuradio/kdamc/frame_kernel.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

namespace {

template <typename F>
double seconds(size_t repeats, F&& call)
{
    const auto begin = std::chrono::steady_clock::now();
    for (size_t i = 0; i < repeats; i++)
        call();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    return spent.count();
}

void measure(size_t bytes, size_t frame_len, size_t repeats, bool last)
{
    using sample = std::complex<float>;
    const size_t n = bytes / sizeof(sample);
    const size_t frames = n / frame_len + 1;
    std::vector<sample> in(n), copy(n);
    std::vector<float> iq(2 * frame_len * frames), power(frames), noise(frames),
        snr(frames);
    std::vector<uint64_t> start(frames);
    std::vector<uint8_t> flags(frames);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (auto& x : in)
        x = { normal(random), normal(random) };

    const gr::kdamc::frame_table table = {
        start.data(), power.data(), noise.data(), snr.data(), flags.data()
    };
    gr::kdamc::frame_kernel kernel(frame_len, frame_len, 1e-6f);
    std::vector<double> copied, made, ratios;
    for (int round = 0; round < 11; round++) {
        const double a = seconds(repeats, [&] {
            std::memcpy(copy.data(), in.data(), bytes);
            asm volatile("" ::"r"(copy.data()) : "memory");
        });
        const double b = seconds(repeats, [&] {
            kernel.process(in.data(), n, table, iq.data(), frames);
            asm volatile("" ::"r"(iq.data()) : "memory");
        });
        copied.push_back(double(bytes) * repeats / a);
        made.push_back(double(bytes) * repeats / b);
        ratios.push_back(a / b);
    }
    const auto median = [](std::vector<double>& v) {
        std::sort(v.begin(), v.end());
        return v[v.size() / 2];
    };
    std::printf("\"%zu\": {\"memcpy_bytes_per_s\": %.4g, \"kernel_bytes_per_s\": %.4g, "
                "\"ratio\": %.3f}%s",
                bytes,
                median(copied),
                median(made),
                median(ratios),
                last ? "" : ", ");
}

} // namespace

int main()
{
    std::printf("{");
    measure(size_t(32) << 10, 128, 20000, false);
    measure(size_t(128) << 20, 128, 3, true);
    std::printf("}\n");
    return 0;
}
