// Quantized matrix products for x86 processors with AVX-512 VNNI, as one more buffer type of
// ggml's CPU backend: Q4_0, Q4_K and Q8_0 matrices are reordered when they are written.
//
// vpdpbusd multiplies unsigned with signed bytes, and each of its 16 lanes sums four products. So
// weights are kept as unsigned codes, 16 output columns side by side, one to a lane:
//
//   Q4_0   w = d (code - 8)             code 0..15
//   Q8_0   w = d (code - 128)           code 1..255
//   Q4_K   w = d scale code - dmin min  code 0..15
//
// An activation row is rounded to signed bytes x = dx * q in blocks of 32, as ggml does for Q8_0,
// with sum(q) of each block beside it. Then, per block,
//
//   sum(w x) = d dx (dot(code, q) - 8 sum(q))                       Q4_0; 128 for Q8_0
//   sum(w x) = d scale dx dot(code, q) - dmin min dx sum(q)         Q4_K
//
// and the constant is where the integer sum starts from: no sign is ever emulated. The codes are
// unpacked once for 16 rows of activations. A matrix takes the bytes it has in the file; Q4_K
// 2.8 % more, for its unpacked 6-bit scales.

#include "pulid_matrix.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ggml-backend-impl.h"
#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "traits.h"

#define GGML_COMMON_DECL_C
#include "ggml-common.h"

namespace {

constexpr int LANES    = 16;  // output columns of a group
constexpr int BLOCK    = 32;  // weights that share a scale
constexpr int ROWS     = 16;  // of a tile; they share unpacked codes: 16 + 8 of 32 registers

// What a thread works on at a time should stay in the second-level cache.
constexpr int64_t CHUNK_BYTES = 192 * 1024;

constexpr int64_t CODES_4       = LANES * BLOCK / 2;
constexpr int64_t CODES_8       = LANES * BLOCK;
constexpr int64_t SCALES_F16    = LANES * 2;
constexpr int64_t SUPER_BLOCKS  = QK_K / BLOCK;
constexpr int64_t SUPER_BYTES_K = 2 * SCALES_F16 + SUPER_BLOCKS * (CODES_4 + 2 * LANES);

struct RowBlock {
    float d;      // x = d * q
    int32_t sum;  // of q; times -8 or -128 where that is the code of zero
};

// 16 rows of activations, block by block: the 32 bytes of each row, then those of the next block.
struct Tile {
    const int8_t* q;
    const RowBlock* blocks;
};

int32_t zero_code(ggml_type type) {
    return type == GGML_TYPE_Q4_0 ? 8 : type == GGML_TYPE_Q8_0 ? 128 : -1;
}

// Bytes of 16 columns over `k` rows of weights.
int64_t group_bytes(ggml_type type, int64_t k) {
    switch (type) {
        case GGML_TYPE_Q4_0: return k / BLOCK * (CODES_4 + SCALES_F16);
        case GGML_TYPE_Q8_0: return k / BLOCK * (CODES_8 + SCALES_F16);
        default: return k / QK_K * SUPER_BYTES_K;
    }
}

// Codes of one block of 16 columns: byte i of lane c in vector j is weight 4 j + i of column c;
// with 4 bits, vector j holds those of 2 j in the low and of 2 j + 1 in the high halves.
void write_codes_4(uint8_t* out, const uint8_t codes[LANES][BLOCK]) {
    for (int j = 0; j < BLOCK / 8; j++) {
        for (int c = 0; c < LANES; c++) {
            for (int i = 0; i < 4; i++) {
                *out++ = codes[c][8 * j + i] | (codes[c][8 * j + 4 + i] << 4);
            }
        }
    }
}

void write_codes_8(uint8_t* out, const uint8_t codes[LANES][BLOCK]) {
    for (int j = 0; j < BLOCK / 4; j++) {
        for (int c = 0; c < LANES; c++) {
            memcpy(out, codes[c] + 4 * j, 4);
            out += 4;
        }
    }
}

void write_group_q4_0(uint8_t* out, const uint8_t* in, int64_t column_bytes, int64_t k) {
    for (int64_t b = 0; b < k / BLOCK; b++, out += CODES_4 + SCALES_F16) {
        uint8_t codes[LANES][BLOCK];
        for (int c = 0; c < LANES; c++) {
            const block_q4_0& block = reinterpret_cast<const block_q4_0*>(in + c * column_bytes)[b];
            for (int i = 0; i < BLOCK / 2; i++) {
                codes[c][i]             = block.qs[i] & 15;
                codes[c][i + BLOCK / 2] = block.qs[i] >> 4;
            }
            memcpy(out + CODES_4 + 2 * c, &block.d, 2);
        }
        write_codes_4(out, codes);
    }
}

void write_group_q8_0(uint8_t* out, const uint8_t* in, int64_t column_bytes, int64_t k) {
    for (int64_t b = 0; b < k / BLOCK; b++, out += CODES_8 + SCALES_F16) {
        uint8_t codes[LANES][BLOCK];
        for (int c = 0; c < LANES; c++) {
            const block_q8_0& block = reinterpret_cast<const block_q8_0*>(in + c * column_bytes)[b];
            for (int i = 0; i < BLOCK; i++) {
                codes[c][i] = static_cast<uint8_t>(block.qs[i] + 128);
            }
            memcpy(out + CODES_8 + 2 * c, &block.d, 2);
        }
        write_codes_8(out, codes);
    }
}

// Source of the packing of scales and mins: ggml-common.h, block_q4_K.
void write_group_q4_k(uint8_t* out, const uint8_t* in, int64_t column_bytes, int64_t k) {
    for (int64_t s = 0; s < k / QK_K; s++, out += SUPER_BYTES_K) {
        auto super_block = [&](int c) -> const block_q4_K& {
            return reinterpret_cast<const block_q4_K*>(in + c * column_bytes)[s];
        };
        for (int c = 0; c < LANES; c++) {
            memcpy(out + 2 * c, &super_block(c).d, 2);
            memcpy(out + SCALES_F16 + 2 * c, &super_block(c).dmin, 2);
        }
        uint8_t* block_out = out + 2 * SCALES_F16;
        for (int b = 0; b < SUPER_BLOCKS; b++, block_out += CODES_4 + 2 * LANES) {
            uint8_t codes[LANES][BLOCK];
            for (int c = 0; c < LANES; c++) {
                const uint8_t* packed = super_block(c).scales;
                const uint8_t* qs     = super_block(c).qs + b / 2 * BLOCK;
                for (int i = 0; i < BLOCK; i++) {
                    codes[c][i] = b % 2 == 0 ? qs[i] & 15 : qs[i] >> 4;
                }
                uint8_t* scale = block_out + CODES_4 + c;
                uint8_t* min   = scale + LANES;
                if (b < 4) {
                    *scale = packed[b] & 63;
                    *min   = packed[b + 4] & 63;
                } else {
                    *scale = (packed[b + 4] & 15) | (packed[b - 4] >> 6 << 4);
                    *min   = (packed[b + 4] >> 4) | (packed[b] >> 6 << 4);
                }
            }
            write_codes_4(block_out, codes);
        }
    }
}

// Rounds a row of activations into its place in a tile.
void quantize_row(const float* x, int64_t k, int32_t zero, int8_t* q, RowBlock* blocks) {
    for (int64_t b = 0; b < k / BLOCK; b++, q += ROWS * BLOCK, blocks += ROWS) {
        const __m512 lo    = _mm512_loadu_ps(x + b * BLOCK);
        const __m512 hi    = _mm512_loadu_ps(x + b * BLOCK + LANES);
        const float amax   = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
        const float d      = amax / 127.f;
        const __m512 scale = _mm512_set1_ps(amax > 0.f ? 127.f / amax : 0.f);
        const __m512i ilo  = _mm512_cvtps_epi32(_mm512_mul_ps(lo, scale));
        const __m512i ihi  = _mm512_cvtps_epi32(_mm512_mul_ps(hi, scale));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtsepi32_epi8(ilo));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(q + LANES), _mm512_cvtsepi32_epi8(ihi));
        *blocks = {d, -zero * _mm512_reduce_add_epi32(_mm512_add_epi32(ilo, ihi))};
    }
}

struct Codes {
    __m512i v[BLOCK / 4];
};

inline Codes read_codes_4(const uint8_t* w) {
    const __m512i mask = _mm512_set1_epi8(15);
    Codes codes;
    for (int j = 0; j < BLOCK / 8; j++) {
        const __m512i both = _mm512_loadu_si512(w + 64 * j);
        codes.v[2 * j]     = _mm512_and_si512(both, mask);
        codes.v[2 * j + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
    }
    return codes;
}

inline Codes read_codes_8(const uint8_t* w) {
    Codes codes;
    for (int j = 0; j < BLOCK / 4; j++) {
        codes.v[j] = _mm512_loadu_si512(w + 64 * j);
    }
    return codes;
}

inline __m512i dot(__m512i sum, const Codes& codes, const int8_t* q) {
#pragma GCC unroll 8
    for (int j = 0; j < BLOCK / 4; j++) {
        int32_t four;
        memcpy(&four, q + 4 * j, 4);
        sum = _mm512_dpbusd_epi32(sum, codes.v[j], _mm512_set1_epi32(four));
    }
    return sum;
}

inline __m512 read_f16(const uint8_t* w) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
}

inline __m512 read_u8(const uint8_t* w) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w))));
}

// One group of 16 columns times R rows of a tile.
template <ggml_type TYPE, int R>
void multiply(int64_t k, const uint8_t* w, Tile tile, float* dst, int64_t dst_stride) {
    __m512 acc[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        acc[r] = _mm512_setzero_ps();
    }
    if constexpr (TYPE == GGML_TYPE_Q4_K) {
        for (int64_t s = 0; s < k / QK_K; s++) {
            const __m512 d    = read_f16(w);
            const __m512 dmin = read_f16(w + SCALES_F16);
            w += 2 * SCALES_F16;
            for (int b = 0; b < SUPER_BLOCKS; b++, w += CODES_4 + 2 * LANES, tile.q += ROWS * BLOCK, tile.blocks += ROWS) {
                const Codes codes  = read_codes_4(w);
                const __m512 scale = _mm512_mul_ps(d, read_u8(w + CODES_4));
                const __m512 min   = _mm512_mul_ps(dmin, read_u8(w + CODES_4 + LANES));
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const __m512i sum   = dot(_mm512_setzero_si512(), codes, tile.q + r * BLOCK);
                    const __m512 offset = _mm512_mul_ps(min, _mm512_cvtepi32_ps(_mm512_set1_epi32(tile.blocks[r].sum)));
                    const __m512 x      = _mm512_fmsub_ps(_mm512_cvtepi32_ps(sum), scale, offset);
                    acc[r]              = _mm512_fmadd_ps(x, _mm512_set1_ps(tile.blocks[r].d), acc[r]);
                }
            }
        }
    } else {
        constexpr int64_t CODES = TYPE == GGML_TYPE_Q4_0 ? CODES_4 : CODES_8;
        for (int64_t b = 0; b < k / BLOCK; b++, w += CODES + SCALES_F16, tile.q += ROWS * BLOCK, tile.blocks += ROWS) {
            const Codes codes  = TYPE == GGML_TYPE_Q4_0 ? read_codes_4(w) : read_codes_8(w);
            const __m512 scale = read_f16(w + CODES);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++) {
                const __m512i sum = dot(_mm512_set1_epi32(tile.blocks[r].sum), codes, tile.q + r * BLOCK);
                const __m512 d    = _mm512_mul_ps(scale, _mm512_set1_ps(tile.blocks[r].d));
                acc[r]            = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), d, acc[r]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
        _mm512_storeu_ps(dst + r * dst_stride, acc[r]);
    }
}

template <ggml_type TYPE>
void multiply_tile(int64_t rows, int64_t k, const uint8_t* w, Tile tile, float* dst, int64_t dst_stride) {
    auto pass = [&](auto multiply_some, int64_t count) {
        while (rows >= count) {
            multiply_some(k, w, tile, dst, dst_stride);
            rows -= count;
            tile.q += count * BLOCK;
            tile.blocks += count;
            dst += count * dst_stride;
        }
    };
    pass(multiply<TYPE, ROWS>, ROWS);
    pass(multiply<TYPE, 4>, 4);
    pass(multiply<TYPE, 1>, 1);
}

struct MatrixTraits : public ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor* op, size_t& size) override {
        const size_t blocks = GGML_PAD(ggml_nrows(op->src[1]), ROWS) * (op->src[1]->ne[0] / BLOCK);
        size                = blocks * (BLOCK + sizeof(RowBlock));
        return true;
    }

    bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
        const ggml_tensor* weight = op->src[0];
        const ggml_tensor* x      = op->src[1];
        const int64_t k           = weight->ne[0];
        const int64_t rows        = ggml_nrows(x);
        const int64_t groups      = weight->ne[1] / LANES;
        const int64_t bytes       = group_bytes(weight->type, k);
        const int64_t row_blocks  = k / BLOCK;
        auto* q                   = static_cast<int8_t*>(params->wdata);
        auto* blocks              = reinterpret_cast<RowBlock*>(q + GGML_PAD(rows, ROWS) * k);

        for (int64_t r = params->ith; r < rows; r += params->nth) {
            const char* row    = static_cast<const char*>(x->data) + r % x->ne[1] * x->nb[1] + r / x->ne[1] * x->nb[2];
            const int64_t tile = r / ROWS * ROWS * row_blocks;
            quantize_row(reinterpret_cast<const float*>(row), k, zero_code(weight->type),
                         q + (tile + r % ROWS) * BLOCK, blocks + tile + r % ROWS);
        }
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);

        // As many groups as stay in the cache, and enough chunks to share out evenly.
        const int64_t most      = std::max<int64_t>(1, groups / (4 * params->nth));
        const int64_t per_chunk = std::clamp<int64_t>(CHUNK_BYTES / bytes, 1, most);
        const int64_t n_chunks  = (groups + per_chunk - 1) / per_chunk;
        for (int64_t chunk = params->ith; chunk < n_chunks; chunk = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            for (int64_t row = 0; row < rows; row += ROWS) {
                const int64_t some = std::min<int64_t>(ROWS, rows - row);
                const Tile tile    = {q + row * k, blocks + row * row_blocks};
                for (int64_t group = chunk * per_chunk; group < std::min(groups, (chunk + 1) * per_chunk); group++) {
                    const auto* w = static_cast<const uint8_t*>(weight->data) + group * bytes;
                    float* dst    = static_cast<float*>(op->data) + row * weight->ne[1] + group * LANES;
                    switch (weight->type) {
                        case GGML_TYPE_Q4_0: multiply_tile<GGML_TYPE_Q4_0>(some, k, w, tile, dst, weight->ne[1]); break;
                        case GGML_TYPE_Q8_0: multiply_tile<GGML_TYPE_Q8_0>(some, k, w, tile, dst, weight->ne[1]); break;
                        default: multiply_tile<GGML_TYPE_Q4_K>(some, k, w, tile, dst, weight->ne[1]);
                    }
                }
            }
        }
        return true;
    }
};

MatrixTraits matrix_traits;

bool takes(const ggml_tensor* weight) {
    const bool type = weight->type == GGML_TYPE_Q4_0 || weight->type == GGML_TYPE_Q8_0 || weight->type == GGML_TYPE_Q4_K;
    return type && ggml_n_dims(weight) == 2 && weight->ne[1] % LANES == 0;
}

const char* buffer_type_name(ggml_backend_buffer_type_t) {
    return "CPU_VNNI";
}

ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor* tensor) {
    tensor->extra = &matrix_traits;
    return GGML_STATUS_SUCCESS;
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor));
    const int64_t k     = tensor->ne[0];
    const int64_t bytes = group_bytes(tensor->type, k);
    for (int64_t group = 0; group < tensor->ne[1] / LANES; group++) {
        const auto* in = static_cast<const uint8_t*>(data) + group * LANES * tensor->nb[1];
        auto* out      = static_cast<uint8_t*>(tensor->data) + group * bytes;
        switch (tensor->type) {
            case GGML_TYPE_Q4_0: write_group_q4_0(out, in, tensor->nb[1], k); break;
            case GGML_TYPE_Q8_0: write_group_q8_0(out, in, tensor->nb[1], k); break;
            default: write_group_q4_k(out, in, tensor->nb[1], k);
        }
    }
}

size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* tensor) {
    return takes(tensor) ? tensor->ne[1] / LANES * group_bytes(tensor->type, tensor->ne[0]) : ggml_nbytes(tensor);
}

size_t alignment(ggml_backend_buffer_type_t) {
    return 64;
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer != nullptr) {
        buffer->buft              = type;
        buffer->iface.init_tensor = init_tensor;
        buffer->iface.set_tensor  = set_tensor;
        buffer->iface.get_tensor  = nullptr;
        buffer->iface.cpy_tensor  = nullptr;
    }
    return buffer;
}

struct MatrixBufferType : public ggml::cpu::extra_buffer_type {
    bool supports_op(ggml_backend_dev_t, const ggml_tensor* op) override {
        if (op->op != GGML_OP_MUL_MAT || !is_ours(op->src[0]) || !takes(op->src[0])) {
            return false;
        }
        const ggml_tensor* x = op->src[1];
        return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->ne[3] == 1;
    }

    ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* op) override {
        return op->op == GGML_OP_MUL_MAT && is_ours(op->src[0]) ? &matrix_traits : nullptr;
    }

    static bool is_ours(const ggml_tensor* weight) {
        return weight->buffer != nullptr && weight->buffer->buft == pulid_matrix_buffer_type();
    }
};

}  // namespace

ggml_backend_buffer_type_t pulid_matrix_buffer_type(void) {
    static ggml_backend_buffer_type type = {
        {buffer_type_name, alloc_buffer, alignment, nullptr, alloc_size, nullptr},
        ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
        new MatrixBufferType(),
    };
    return &type;
}

#else

ggml_backend_buffer_type_t pulid_matrix_buffer_type(void) {
    return nullptr;
}

#endif
