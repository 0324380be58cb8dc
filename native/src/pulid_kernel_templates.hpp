// The arithmetic of quantized matrix products, for any vector unit.
//
// Instructions multiply unsigned with signed bytes, and each 32-bit lane sums products. So weights
// are kept as unsigned codes, 16 output columns side by side, one to a lane. An activation row is
// rounded to signed bytes x = dx * q in blocks of 32, as ggml does for Q8_0, with sum(q) of each
// block beside it. Then, per block,
//
//   sum(w x) = d dx (dot(code, q) - zero sum(q))                    without minimums
//   sum(w x) = d scale dx dot(code, q) - dmin min dx sum(q)         with minimums
//
// and the constant is where the integer sum starts from: no sign is ever emulated. The codes are
// unpacked once for 16 rows of activations.
//
// Every instruction set makes the same integers, and rounds the same floats in the same order: the
// results are equal to the byte.
//
// A vector unit V has LANES columns in a register (16, or 8: half a group), Int and Float registers,
// and the operations used below. Everything here has internal linkage: this is compiled once for
// each instruction set, and the linker must not mix them.
#pragma once

#include <cstring>

#include "pulid_kernels.h"

namespace {

// Vector j of a block holds the codes 4 j to 4 j + 3 of each column; of 4 bits those of 2 j in the
// low and of 2 j + 1 in the high halves of its bytes.
template <class V, int BITS>
inline typename V::template Codes<BITS> read_codes(const uint8_t* w) {
    constexpr int STRIDE = GROUP * 4;
    typename V::template Codes<BITS> codes;
    if constexpr (BITS == 8) {
#pragma GCC unroll 8
        for (int j = 0; j < BLOCK / 4; j++) {
            codes.set(j, V::load(w + STRIDE * j));
        }
    } else {
        const auto mask = V::bytes(15);
#pragma GCC unroll 4
        for (int j = 0; j < BLOCK / 8; j++) {
            const auto both = V::load(w + STRIDE * j);
            codes.set(2 * j, V::both(both, mask));
            codes.set(2 * j + 1, V::both(V::template right<4>(both), mask));
        }
    }
    return codes;
}

// The columns of V from `lane` on, of a group, times R rows of a tile.
template <class V, ggml_type TYPE, int R>
void multiply(int64_t k, const uint8_t* w, int lane, Tile tile, float* dst, int64_t dst_stride) {
    using Float                = typename V::Float;
    constexpr Format FORMAT    = format_of(TYPE);
    constexpr int BITS         = FORMAT.bits;
    constexpr int SUPER_BLOCKS = FORMAT.weights() / BLOCK;
    Float acc[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        acc[r] = V::floats(0.f);
    }
    for (int64_t s = 0; s < k / FORMAT.weights(); s++) {
        Float super_d = V::floats(0.f), super_min = V::floats(0.f);
        if constexpr (FORMAT.has_supers()) {
            super_d = V::read_f16(w + 2 * lane);
        }
        if constexpr (FORMAT.scales == Scales::K_MIN) {
            super_min = V::read_f16(w + 2 * GROUP + 2 * lane);
        }
        w += FORMAT.super_bytes();
        for (int b = 0; b < SUPER_BLOCKS; b++, w += FORMAT.block_bytes(), tile.q += ROWS * BLOCK, tile.blocks += ROWS) {
            const auto codes      = read_codes<V, BITS>(w + 4 * lane);
            const uint8_t* scales = w + FORMAT.code_bytes();
            if constexpr (FORMAT.scales == Scales::WHOLE) {
                const Float scale = V::read_f16(scales + 2 * lane);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const RowBlock& row = tile.blocks[r];
                    const auto sum      = V::template dot<0, 8>(V::ints(row.sum[0]), codes, tile.q + r * BLOCK);
                    acc[r]              = V::fma(V::to_float(sum), V::mul(scale, V::floats(row.d)), acc[r]);
                }
            } else {
                Float scale, min;
                if constexpr (FORMAT.scales == Scales::K_MIN) {
                    scale = V::mul(super_d, V::read_u8(scales + lane));
                    min   = V::mul(super_min, V::read_u8(scales + GROUP + lane));
                } else {
                    scale = V::read_f16(scales + 2 * lane);
                    min   = V::read_f16(scales + 2 * GROUP + 2 * lane);
                }
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const RowBlock& row = tile.blocks[r];
                    const auto sum      = V::template dot<0, 8>(V::ints(0), codes, tile.q + r * BLOCK);
                    const Float offset  = V::mul(min, V::to_float(V::ints(row.sum[0])));
                    acc[r]              = V::fma(V::fms(V::to_float(sum), scale, offset), V::floats(row.d), acc[r]);
                }
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        V::store(dst + r * dst_stride, acc[r]);
    }
}

template <class V, ggml_type TYPE>
void multiply_tile(int64_t rows, int64_t k, const uint8_t* w, Tile tile, float* dst, int64_t dst_stride) {
    for (int lane = 0; lane < GROUP; lane += V::LANES) {
        int64_t row = 0;
        auto pass   = [&](auto multiply_some, int64_t count) {
            for (; rows - row >= count; row += count) {
                multiply_some(k, w, lane, {tile.q + row * BLOCK, tile.blocks + row}, dst + row * dst_stride + lane, dst_stride);
            }
        };
        pass(multiply<V, TYPE, V::ROWS_AT_ONCE>, V::ROWS_AT_ONCE);
        pass(multiply<V, TYPE, 4>, 4);
        pass(multiply<V, TYPE, 1>, 1);
    }
}

template <class V>
void multiply_type(ggml_type type, int64_t rows, int64_t k, const uint8_t* w, Tile tile, float* dst, int64_t dst_stride) {
    switch (type) {
        case GGML_TYPE_Q4_0: multiply_tile<V, GGML_TYPE_Q4_0>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q8_0: multiply_tile<V, GGML_TYPE_Q8_0>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q4_K: multiply_tile<V, GGML_TYPE_Q4_K>(rows, k, w, tile, dst, dst_stride); break;
        default: break;
    }
}

template <class V>
void quantize_row(Format format, const float* x, int64_t k, int8_t* q, RowBlock* blocks) {
    const int32_t factor = -format.zero;
    for (int64_t b = 0; b < k / BLOCK; b++, x += BLOCK, q += ROWS * BLOCK, blocks += ROWS) {
        const float amax = V::max_abs(x);
        int32_t sum[2];
        V::round_block(x, amax > 0.f ? 127.f / amax : 0.f, q, sum);
        const bool halves = format.scales == Scales::HALVES;
        *blocks           = {amax / 127.f, {factor * (halves ? sum[0] : sum[0] + sum[1]), factor * sum[1]}};
    }
}

template <class V>
constexpr Kernels kernels_named(const char* name) {
    return {name, quantize_row<V>, multiply_type<V>};
}

}  // namespace
