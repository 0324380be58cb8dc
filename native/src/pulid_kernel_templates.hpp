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

#include <atomic>
#include <cstring>
#include <utility>

#include "pulid_kernels.h"

namespace {

constexpr int BLOCKS_AHEAD = 4;  // that weights are asked for before they are used

// Moves bit FROM of each byte to bit TO; other bits are anything.
template <class V, int FROM, int TO>
inline typename V::Int moved(typename V::Int v) {
    if constexpr (FROM < TO) {
        return V::template left<TO - FROM>(v);
    } else if constexpr (FROM > TO) {
        return V::template right<FROM - TO>(v);
    } else {
        return v;
    }
}

// Vector j of the codes of a block: byte i of a lane is code 4 j + i of a column. They are packed
// as write_codes() of pulid_matrix_layout.hpp does.
template <class V, int BITS, int J>
inline typename V::Int read_vector(const uint8_t* w) {
    constexpr int STRIDE = GROUP * 4;
    if constexpr (BITS == 8) {
        return V::load(w + STRIDE * J);
    } else if constexpr (BITS == 4) {
        return V::both(moved<V, J % 2 * 4, 0>(V::load(w + STRIDE * (J / 2))), V::bytes(15));
    } else if constexpr (BITS == 2) {
        return V::both(moved<V, J % 4 * 2, 0>(V::load(w + STRIDE * (J / 4))), V::bytes(3));
    } else if constexpr (BITS == 6) {
        const auto high = V::load(w + STRIDE * (4 + J / 4));
        return V::either(read_vector<V, 4, J>(w), V::both(moved<V, J % 4 * 2, 4>(high), V::bytes(0x30)));
    } else {
        constexpr int LOW = BITS - 1;
        const auto high   = V::load(w + STRIDE * LOW);
        return V::either(read_vector<V, LOW, J>(w), V::both(moved<V, J, LOW>(high), V::bytes(1 << LOW)));
    }
}

// Source: kvalues_iq4nl of ggml-common.h, plus 128.
alignas(16) constexpr uint8_t TABLE[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

// The codes of a block, or one part of them (V::parts).
template <class V, ggml_type TYPE, int PART, int... J>
inline auto read_codes(const uint8_t* w, std::integer_sequence<int, J...>) {
    constexpr Format FORMAT = format_of(TYPE);
    typename V::template Codes<FORMAT.multiplied_bits(), PART> codes;
    if constexpr (FORMAT.table) {
        (codes.set(J, V::look_up(TABLE, read_vector<V, FORMAT.bits, J>(w))), ...);
    } else {
        (codes.set(J, read_vector<V, FORMAT.bits, J>(w)), ...);
    }
    return codes;
}

template <class V, ggml_type TYPE, int PART = 0>
inline auto read_codes(const uint8_t* w) {
    return read_codes<V, TYPE, PART>(w, std::make_integer_sequence<int, BLOCK / 4>());
}

template <ggml_type TYPE>
using Row = RowBlock<in_halves(format_of(TYPE).scales) ? 2 : 1>;

template <class V, class Block>
inline typename V::Float sum_of(const Block& row, int s) {
    if constexpr (V::FLOAT_SUMS) {
        return V::floats(row.sum[s]);
    } else {
        return V::to_float(V::ints(row.start[s]));
    }
}

// The columns of V from `lane` on, of a group, times R rows of a tile.
template <class V, ggml_type TYPE, int R>
void multiply(int64_t k, const uint8_t* w, int lane, Tile tile, float* dst, int64_t dst_stride) {
    using Float                = typename V::Float;
    constexpr Format FORMAT    = format_of(TYPE);
    constexpr int SUPER_BLOCKS = FORMAT.weights() / BLOCK;
    const auto* blocks         = static_cast<const Row<TYPE>*>(tile.blocks);
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
        if constexpr (FORMAT.scales == Scales::K_MIN || FORMAT.scales == Scales::HALVES_MIN) {
            super_min = V::read_f16(w + 2 * GROUP + 2 * lane);
        }
        w += FORMAT.super_bytes();
        for (int b = 0; b < SUPER_BLOCKS; b++, w += FORMAT.block_bytes(), tile.q += ROWS * BLOCK, blocks += ROWS) {
            if constexpr (R > 1) {
                // With some rows, processors see too late what comes next: 20 to 40 % faster with 16.
                for (int line = 0; line < FORMAT.block_bytes(); line += 64) {
                    V::prefetch(w + BLOCKS_AHEAD * FORMAT.block_bytes() + line);
                }
            }
            const auto codes      = read_codes<V, TYPE>(w + 4 * lane);
            const uint8_t* scales = w + FORMAT.code_bytes();
            if constexpr (V::parts(FORMAT.multiplied_bits()) == 2) {
                static_assert(FORMAT.scales == Scales::WHOLE);
                const Float scale = V::read_f16(scales + 2 * lane);
                // One part for all rows, then the other: both together need more registers than there are.
                typename V::Int sums[R];
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    sums[r] = V::template dot<0, 8>(V::ints(blocks[r].start[0]), codes, tile.q + r * BLOCK);
                }
                // Else the compiler keeps all activations of the first pass on the stack, for the second.
                std::atomic_signal_fence(std::memory_order_seq_cst);
                const auto others = read_codes<V, TYPE, 1>(w + 4 * lane);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const auto sum = V::template dot<0, 8>(sums[r], others, tile.q + r * BLOCK);
                    acc[r]         = V::fma(V::to_float(sum), V::mul(scale, V::floats(blocks[r].d)), acc[r]);
                }
            } else if constexpr (FORMAT.scales == Scales::WHOLE) {
                const Float scale = V::read_f16(scales + 2 * lane);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const auto& row = blocks[r];
                    const auto sum      = V::template dot<0, 8>(V::ints(row.start[0]), codes, tile.q + r * BLOCK);
                    acc[r]              = V::fma(V::to_float(sum), V::mul(scale, V::floats(row.d)), acc[r]);
                }
            } else if constexpr (in_halves(FORMAT.scales)) {
                Float scale[2], min[2];
                for (int half = 0; half < 2; half++) {
                    const uint8_t* from = scales + GROUP * half + lane;
                    if constexpr (FORMAT.scales == Scales::HALVES) {
                        scale[half] = V::mul(super_d, V::read_s8(from));
                    } else {
                        scale[half] = V::mul(super_d, V::read_low(from));
                        min[half]   = V::mul(super_min, V::read_high(from));
                    }
                }
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    constexpr bool MIN  = FORMAT.scales == Scales::HALVES_MIN;
                    const auto& row = blocks[r];
                    const int8_t* q     = tile.q + r * BLOCK;
                    const auto first    = V::template dot<0, 4>(V::ints(MIN ? 0 : row.start[0]), codes, q);
                    const auto second   = V::template dot<4, 8>(V::ints(MIN ? 0 : row.start[1]), codes, q);
                    Float x             = V::mul(V::to_float(first), scale[0]);
                    if constexpr (MIN) {
                        x = V::fms(V::to_float(first), scale[0], V::mul(min[0], sum_of<V>(row, 0)));
                        x = V::fms(sum_of<V>(row, 1), min[1], x);
                        x = V::fms(V::to_float(second), scale[1], x);
                    } else {
                        x = V::fma(V::to_float(second), scale[1], x);
                    }
                    acc[r] = V::fma(x, V::floats(row.d), acc[r]);
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
                    const auto& row = blocks[r];
                    const auto sum      = V::template dot<0, 8>(V::ints(0), codes, tile.q + r * BLOCK);
                    const Float offset  = V::mul(min, sum_of<V>(row, 0));
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
                multiply_some(k, w, lane, {tile.q + row * BLOCK, static_cast<const Row<TYPE>*>(tile.blocks) + row}, dst + row * dst_stride + lane, dst_stride);
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
        case GGML_TYPE_Q4_1: multiply_tile<V, GGML_TYPE_Q4_1>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q5_0: multiply_tile<V, GGML_TYPE_Q5_0>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q5_1: multiply_tile<V, GGML_TYPE_Q5_1>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q5_K: multiply_tile<V, GGML_TYPE_Q5_K>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q6_K: multiply_tile<V, GGML_TYPE_Q6_K>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q3_K: multiply_tile<V, GGML_TYPE_Q3_K>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_Q2_K: multiply_tile<V, GGML_TYPE_Q2_K>(rows, k, w, tile, dst, dst_stride); break;
        case GGML_TYPE_IQ4_NL: multiply_tile<V, GGML_TYPE_IQ4_NL>(rows, k, w, tile, dst, dst_stride); break;
        default: break;
    }
}

template <class V, int SUMS>
void quantize_blocks(int32_t zero, const float* x, int64_t k, int8_t* q, RowBlock<SUMS>* blocks) {
    for (int64_t b = 0; b < k / BLOCK; b++, x += BLOCK, q += ROWS * BLOCK, blocks += ROWS) {
        const float amax = V::max_abs(x);
        int32_t sum[2];
        V::round_block(x, amax > 0.f ? 127.f / amax : 0.f, q, sum);
        blocks->d = amax / 127.f;
        sum[0] += SUMS == 1 ? sum[1] : 0;
        for (int s = 0; s < SUMS; s++) {
            if (zero < 0 && V::FLOAT_SUMS) {
                blocks->sum[s] = static_cast<float>(sum[s]);
            } else if (zero < 0) {
                blocks->start[s] = sum[s];
            } else {
                blocks->start[s] = -zero * sum[s];
            }
        }
    }
}

template <class V>
void quantize_row(Format format, const float* x, int64_t k, int8_t* q, void* blocks) {
    if (in_halves(format.scales)) {
        quantize_blocks<V>(format.zero, x, k, q, static_cast<RowBlock<2>*>(blocks));
    } else {
        quantize_blocks<V>(format.zero, x, k, q, static_cast<RowBlock<1>*>(blocks));
    }
}

template <class V>
constexpr Kernels kernels_named(const char* name) {
    return {name, quantize_row<V>, multiply_type<V>};
}

}  // namespace
