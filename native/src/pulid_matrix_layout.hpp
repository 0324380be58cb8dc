// Reorders a quantized matrix for the kernels of pulid_kernels.h. A matrix takes the bytes it has in
// the file; Q4_K 2.8 % more, for its unpacked 6-bit scales.
//
// Source of the formats: ggml-common.h.
#pragma once

#include <cstring>

#include "pulid_kernels.h"

#define GGML_COMMON_DECL_C
#include "ggml-common.h"

namespace {

// One block of 16 columns: a code a byte, and where its scales go.
struct BlockOut {
    uint8_t codes[GROUP][BLOCK];
    uint8_t* scales;  // after the packed codes
    uint8_t* super;   // before the first block of a super-block
};

// Vector j holds the codes 4 j to 4 j + 3 of each column; of 4 bits those of 2 j in the low and of
// 2 j + 1 in the high halves of its bytes.
void write_codes(uint8_t* out, const uint8_t codes[GROUP][BLOCK], int bits) {
    if (bits == 8) {
        for (int j = 0; j < BLOCK / 4; j++) {
            for (int c = 0; c < GROUP; c++, out += 4) {
                memcpy(out, codes[c] + 4 * j, 4);
            }
        }
        return;
    }
    for (int j = 0; j < BLOCK / 8; j++) {
        for (int c = 0; c < GROUP; c++) {
            for (int i = 0; i < 4; i++) {
                *out++ = (codes[c][8 * j + i] & 15) | (codes[c][8 * j + 4 + i] << 4);
            }
        }
    }
}

void put_f16(uint8_t* out, int c, ggml_half value) {
    memcpy(out + 2 * c, &value, 2);
}

// The 6-bit scale and minimum of block `b` of a super-block of Q4_K.
void unpack_k_scales(const uint8_t* packed, int b, uint8_t* scale, uint8_t* min) {
    if (b < 4) {
        *scale = packed[b] & 63;
        *min   = packed[b + 4] & 63;
    } else {
        *scale = (packed[b + 4] & 15) | (packed[b - 4] >> 6 << 4);
        *min   = (packed[b + 4] >> 4) | (packed[b] >> 6 << 4);
    }
}

void read_block(const block_q4_0& in, int, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK / 2; i++) {
        out.codes[c][i]             = in.qs[i] & 15;
        out.codes[c][i + BLOCK / 2] = in.qs[i] >> 4;
    }
    put_f16(out.scales, c, in.d);
}

void read_block(const block_q8_0& in, int, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        out.codes[c][i] = static_cast<uint8_t>(in.qs[i] + 128);
    }
    put_f16(out.scales, c, in.d);
}

void read_block(const block_q4_K& in, int b, int c, BlockOut& out) {
    const uint8_t* qs = in.qs + b / 2 * BLOCK;
    for (int i = 0; i < BLOCK; i++) {
        out.codes[c][i] = b % 2 == 0 ? qs[i] & 15 : qs[i] >> 4;
    }
    unpack_k_scales(in.scales, b, out.scales + c, out.scales + GROUP + c);
    put_f16(out.super, c, in.d);
    put_f16(out.super, GROUP + c, in.dmin);
}

template <typename Block>
void write_group(Format format, uint8_t* out, const uint8_t* in, int64_t column_bytes, int64_t k) {
    BlockOut block;
    for (int64_t s = 0; s < k / format.weights(); s++) {
        block.super = out;
        out += format.super_bytes();
        for (int b = 0; b < format.weights() / BLOCK; b++, out += format.block_bytes()) {
            block.scales = out + format.code_bytes();
            for (int c = 0; c < GROUP; c++) {
                read_block(reinterpret_cast<const Block*>(in + c * column_bytes)[s], b, c, block);
            }
            write_codes(out, block.codes, format.bits);
        }
    }
}

// 16 columns of `k` weights, from `in` on.
void write_group(ggml_type type, uint8_t* out, const uint8_t* in, int64_t column_bytes, int64_t k) {
    const Format format = format_of(type);
    switch (type) {
        case GGML_TYPE_Q4_0: write_group<block_q4_0>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q8_0: write_group<block_q8_0>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q4_K: write_group<block_q4_K>(format, out, in, column_bytes, k); break;
        default: break;
    }
}

}  // namespace
