// Products of quantized matrices on x86: how matrices and activations lie in memory, and one set of
// kernels for each instruction set. pulid_kernel_templates.hpp has the arithmetic.
#pragma once

#include <cstdint>

#include "ggml.h"

constexpr int GROUP = 16;   // output columns that lie side by side
constexpr int BLOCK = 32;   // weights, and activations, that share a scale
constexpr int ROWS  = 16;   // of a tile of activations; they share unpacked codes
constexpr int SUPER = 256;  // QK_K: weights of a super-block of the K types

// Where the scales of a group's blocks lie, after the codes.
enum class Scales {
    WHOLE,   // d, float16: w = d (code - ZERO)
    MIN,     // d, min, float16: w = d code - min
    K_MIN,   // scale, min, uint8; per super-block d, dmin, float16: w = d scale code - dmin min
    HALVES,  // two scales of 16 weights each, int8; per super-block d: w = d scale (code - ZERO)
    HALVES_MIN,  // two bytes of scale + 16 min, each of 16 weights; per super-block d, dmin
};

constexpr bool in_halves(Scales scales) {
    return scales == Scales::HALVES || scales == Scales::HALVES_MIN;
}

struct Format {
    int bits;    // of a code
    int zero;    // code of zero; -1: the format has minimums
    Scales scales;
    bool table = false;  // codes are looked up (IQ4_NL), and are of 8 bits then

    constexpr int multiplied_bits() const { return table ? 8 : bits; }
    constexpr int row_block_bytes() const { return in_halves(scales) ? 12 : 8; }
    constexpr bool has_supers() const { return scales == Scales::K_MIN || in_halves(scales); }
    constexpr int weights() const { return has_supers() ? SUPER : BLOCK; }
    // Bytes for 16 columns: of the codes of a block, of a block, of what precedes a super-block's.
    constexpr int code_bytes() const { return GROUP * BLOCK / 8 * bits; }
    constexpr int block_bytes() const { return code_bytes() + GROUP * (scales == Scales::MIN ? 4 : 2); }
    constexpr int super_bytes() const { return has_supers() ? GROUP * (scales == Scales::HALVES ? 2 : 4) : 0; }
    constexpr int64_t group_bytes(int64_t k) const {
        return k / BLOCK * block_bytes() + (has_supers() ? k / SUPER * super_bytes() : 0);
    }
};

// Of a type that kernels exist for; bits are 0 for every other type.
constexpr Format format_of(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_0: return {4, 8, Scales::WHOLE};
        case GGML_TYPE_Q5_0: return {5, 16, Scales::WHOLE};
        case GGML_TYPE_Q8_0: return {8, 128, Scales::WHOLE};
        case GGML_TYPE_IQ4_NL: return {4, 128, Scales::WHOLE, true};
        case GGML_TYPE_Q4_1: return {4, -1, Scales::MIN};
        case GGML_TYPE_Q5_1: return {5, -1, Scales::MIN};
        case GGML_TYPE_Q4_K: return {4, -1, Scales::K_MIN};
        case GGML_TYPE_Q5_K: return {5, -1, Scales::K_MIN};
        case GGML_TYPE_Q3_K: return {3, 4, Scales::HALVES};
        case GGML_TYPE_Q6_K: return {6, 32, Scales::HALVES};
        case GGML_TYPE_Q2_K: return {2, -1, Scales::HALVES_MIN};
        default: return {0, -1, Scales::WHOLE};
    }
}

// Of 32 activations of a row; sums are of all, or of the first and the last 16 (in_halves). As small
// as can be: a tile is read from the second-level cache again and again.
template <int SUMS>
struct RowBlock {
    float d;  // x = d * q
    union {
        int32_t start[SUMS];  // what a sum of products starts from: -zero sum(q)
        float sum[SUMS];      // with minimums: sum(q), or as an integer in `start`
    };
};

// 16 rows of activations, block by block: the 32 bytes of each row, then those of the next block.
struct Tile {
    const int8_t* q;
    const void* blocks;  // RowBlock, likewise
};

struct Kernels {
    // Of the buffer type: it says in the log what multiplies.
    const char* name;
    // Rounds a row of `k` activations into its place in a tile.
    void (*quantize_row)(Format format, const float* x, int64_t k, int8_t* q, void* blocks);
    // 16 columns, of which `w` has the codes, times the first `rows` rows of a tile.
    void (*multiply)(ggml_type type, int64_t rows, int64_t k, const uint8_t* w, Tile tile, float* dst, int64_t dst_stride);
};

// Null where the compiler does not know the instructions. Each is a file of its own, compiled for
// them; nothing of it may run before the processor was asked (pulid_kernel_choice.cpp).
const Kernels* pulid_kernels_avx2(void);
const Kernels* pulid_kernels_avxvnni(void);
const Kernels* pulid_kernels_avx512vl(void);
const Kernels* pulid_kernels_avx512vnni(void);

// The fastest that this processor has, or the set that PULID_SDCPP_CPU_KERNELS names; null: none.
const Kernels* pulid_kernels(void);
