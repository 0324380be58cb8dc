// Reorders a quantized matrix for the kernels of pulid_kernels.h. A matrix takes the bytes it has in
// the file; Q4_K, Q5_K and Q3_K 2 to 4 % more, for their unpacked 6-bit scales.
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

// WIDTH bits of each code, from bit FROM on, packed in vectors of 64 bytes: those of the codes 4 j to
// 4 j + 3 of all columns, side by side, are part j % (8 / WIDTH) of the bytes of one vector, the
// first lowest.
template <int FROM, int WIDTH>
uint8_t* write_bits(uint8_t* out, const uint8_t codes[GROUP][BLOCK]) {
    constexpr int PARTS = 8 / WIDTH;
    for (int j = 0; j < BLOCK / 4; j += PARTS) {
        for (int c = 0; c < GROUP; c++) {
            for (int i = 0; i < 4; i++) {
                int byte = 0;
                for (int part = 0; part < PARTS; part++) {
                    byte |= (codes[c][4 * (j + part) + i] >> FROM & ((1 << WIDTH) - 1)) << part * WIDTH;
                }
                *out++ = static_cast<uint8_t>(byte);
            }
        }
    }
    return out;
}

void write_codes(int bits, uint8_t* out, const uint8_t codes[GROUP][BLOCK]) {
    switch (bits) {
        case 2: write_bits<0, 2>(out, codes); break;
        case 3: write_bits<2, 1>(write_bits<0, 2>(out, codes), codes); break;
        case 4: write_bits<0, 4>(out, codes); break;
        case 5: write_bits<4, 1>(write_bits<0, 4>(out, codes), codes); break;
        case 6: write_bits<4, 2>(write_bits<0, 4>(out, codes), codes); break;
        default: write_bits<0, 8>(out, codes);
    }
}

void put_f16(uint8_t* out, int c, ggml_half value) {
    memcpy(out + 2 * c, &value, 2);
}

// The 6-bit scale and minimum of block `b` of a super-block of Q4_K and Q5_K.
void unpack_k_scales(const uint8_t* packed, int b, uint8_t* scale, uint8_t* min) {
    if (b < 4) {
        *scale = packed[b] & 63;
        *min   = packed[b + 4] & 63;
    } else {
        *scale = (packed[b + 4] & 15) | (packed[b - 4] >> 6 << 4);
        *min   = (packed[b + 4] >> 4) | (packed[b] >> 6 << 4);
    }
}

// Codes of 4 bits: of the first 16 weights in the low halves of bytes, of the others in the high.
void read_nibbles(const uint8_t (&qs)[BLOCK / 2], uint8_t* codes) {
    constexpr uint64_t LOW = UINT64_C(0x0f0f0f0f0f0f0f0f);
    for (int i = 0; i < BLOCK / 2; i += 8) {
        uint64_t eight;
        memcpy(&eight, qs + i, 8);
        const uint64_t low = eight & LOW, high = eight >> 4 & LOW;
        memcpy(codes + i, &low, 8);
        memcpy(codes + BLOCK / 2 + i, &high, 8);
    }
}

// The fifth bits of 32 codes.
void add_fifth_bits(const uint8_t (&qh)[4], uint8_t* codes) {
    for (int i = 0; i < 4; i++) {
        // Bit n of each byte n; then 0x80 and more where there is one; then 0x10.
        const uint64_t bits = qh[i] * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
        uint64_t eight;
        memcpy(&eight, codes + 8 * i, 8);
        eight |= (bits + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 3 & UINT64_C(0x1010101010101010);
        memcpy(codes + 8 * i, &eight, 8);
    }
}

// A minimum that is added in the file.
void put_negative_f16(uint8_t* out, int c, ggml_half value) {
    uint16_t bits;
    memcpy(&bits, &value, 2);
    bits ^= 0x8000;
    memcpy(out + 2 * c, &bits, 2);
}

void read_block(const block_q4_0& in, int, int c, BlockOut& out) {
    read_nibbles(in.qs, out.codes[c]);
    put_f16(out.scales, c, in.d);
}

void read_block(const block_iq4_nl& in, int, int c, BlockOut& out) {
    read_nibbles(in.qs, out.codes[c]);
    put_f16(out.scales, c, in.d);
}

void read_block(const block_q4_1& in, int, int c, BlockOut& out) {
    read_nibbles(in.qs, out.codes[c]);
    put_f16(out.scales, c, in.d);
    put_negative_f16(out.scales, GROUP + c, in.m);
}

void read_block(const block_q5_0& in, int, int c, BlockOut& out) {
    read_nibbles(in.qs, out.codes[c]);
    add_fifth_bits(in.qh, out.codes[c]);
    put_f16(out.scales, c, in.d);
}

void read_block(const block_q5_1& in, int, int c, BlockOut& out) {
    read_nibbles(in.qs, out.codes[c]);
    add_fifth_bits(in.qh, out.codes[c]);
    put_f16(out.scales, c, in.d);
    put_negative_f16(out.scales, GROUP + c, in.m);
}

void read_block(const block_q8_0& in, int, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        out.codes[c][i] = static_cast<uint8_t>(in.qs[i] + 128);
    }
    put_f16(out.scales, c, in.d);
}

void read_block(const block_q4_K& in, int b, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        out.codes[c][i] = in.qs[b / 2 * BLOCK + i] >> b % 2 * 4 & 15;
    }
    unpack_k_scales(in.scales, b, out.scales + c, out.scales + GROUP + c);
    put_f16(out.super, c, in.d);
    put_f16(out.super, GROUP + c, in.dmin);
}

void read_block(const block_q5_K& in, int b, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        const int low   = in.qs[b / 2 * BLOCK + i] >> b % 2 * 4 & 15;
        out.codes[c][i] = static_cast<uint8_t>(low | (in.qh[i] >> b & 1) << 4);
    }
    unpack_k_scales(in.scales, b, out.scales + c, out.scales + GROUP + c);
    put_f16(out.super, c, in.d);
    put_f16(out.super, GROUP + c, in.dmin);
}

void read_block(const block_q6_K& in, int b, int c, BlockOut& out) {
    const uint8_t* ql = in.ql + b / 4 * 64 + b % 2 * BLOCK;
    const uint8_t* qh = in.qh + b / 4 * BLOCK;
    for (int i = 0; i < BLOCK; i++) {
        const int low   = ql[i] >> b % 4 / 2 * 4 & 15;
        out.codes[c][i] = static_cast<uint8_t>(low | (qh[i] >> b % 4 * 2 & 3) << 4);
    }
    for (int half = 0; half < 2; half++) {
        out.scales[GROUP * half + c] = static_cast<uint8_t>(in.scales[2 * b + half]);
    }
    put_f16(out.super, c, in.d);
}

void read_block(const block_q3_K& in, int b, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        const int low   = in.qs[b / 4 * BLOCK + i] >> b % 4 * 2 & 3;
        out.codes[c][i] = static_cast<uint8_t>(low | (in.hmask[i] >> b & 1) << 2);
    }
    for (int half = 0; half < 2; half++) {
        const int s    = 2 * b + half;
        const int low  = in.scales[s % 8] >> s / 8 * 4 & 15;
        const int high = in.scales[8 + s % 4] >> s / 4 * 2 & 3;

        out.scales[GROUP * half + c] = static_cast<uint8_t>((low | high << 4) - 32);
    }
    put_f16(out.super, c, in.d);
}

void read_block(const block_q2_K& in, int b, int c, BlockOut& out) {
    for (int i = 0; i < BLOCK; i++) {
        out.codes[c][i] = in.qs[b / 4 * BLOCK + i] >> b % 4 * 2 & 3;
    }
    for (int half = 0; half < 2; half++) {
        out.scales[GROUP * half + c] = in.scales[2 * b + half];
    }
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
            write_codes(format.bits, out, block.codes);
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
        case GGML_TYPE_Q4_1: write_group<block_q4_1>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q5_0: write_group<block_q5_0>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q5_1: write_group<block_q5_1>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q5_K: write_group<block_q5_K>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q6_K: write_group<block_q6_K>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q3_K: write_group<block_q3_K>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_Q2_K: write_group<block_q2_K>(format, out, in, column_bytes, k); break;
        case GGML_TYPE_IQ4_NL: write_group<block_iq4_nl>(format, out, in, column_bytes, k); break;
        default: break;
    }
}

}  // namespace
