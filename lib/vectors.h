/*
 * Copyright 2026 gr-kdamc authors.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later
 */

#ifndef INCLUDED_KDAMC_VECTORS_H
#define INCLUDED_KDAMC_VECTORS_H

#include <cstddef>
#include <cstring>

// One clone for each instruction set, chosen when the library loads: vectors of 16 floats
// become one AVX-512, two AVX2 or four SSE operations.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define KDAMC_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KDAMC_CLONES
#endif
#define KDAMC_INLINE __attribute__((always_inline)) inline
// The warning is about passing vectors between functions; these are always inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace gr {
namespace kdamc {

constexpr size_t LANES = 16; // floats in a vector: 8 complex samples
typedef float vec16 __attribute__((vector_size(LANES * sizeof(float))));
typedef float vec8 __attribute__((vector_size(8 * sizeof(float))));
typedef float vec4 __attribute__((vector_size(4 * sizeof(float))));

// Plain vector loads would need alignment; a frame starts at any sample.
KDAMC_INLINE vec16 load(const float* p)
{
    vec16 v;
    std::memcpy(&v, p, sizeof(v));
    return v;
}

KDAMC_INLINE void store(float* p, const vec16& v) { std::memcpy(p, &v, sizeof(v)); }

KDAMC_INLINE float sum(const vec16& v)
{
    vec8 lo, hi;
    std::memcpy(&lo, &v, sizeof(lo));
    std::memcpy(&hi, reinterpret_cast<const char*>(&v) + sizeof(lo), sizeof(hi));
    const vec8 half = lo + hi;
    vec4 a, b;
    std::memcpy(&a, &half, sizeof(a));
    std::memcpy(&b, reinterpret_cast<const char*>(&half) + sizeof(a), sizeof(b));
    const vec4 quarter = a + b;
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

} // namespace kdamc
} // namespace gr

#endif /* INCLUDED_KDAMC_VECTORS_H */
