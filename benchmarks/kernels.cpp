// One instruction set's kernels for quantized matrices against a loop of the instructions that they
// multiply with, in turn: benchmarks/kernels.py compiles this and the kernels, for that set.
//
// Prints a line for each turn and type: its name, then 1e9 products of the kernel and of the loop
// for each second of processor time.

#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "pulid_kernels.h"

namespace {

constexpr int64_t K             = 3072;  // Flux's width
constexpr int64_t TILES         = 8;     // of 16 rows
constexpr int64_t WEIGHTS_BYTES = 192 * 1024;  // what a thread works on at a time, in pulid_matrix.cpp
constexpr double LEAST_S        = 0.05;

const ggml_type TYPES[] = {
    GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_IQ4_NL,
    GGML_TYPE_Q2_K, GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
};
const char* const NAMES[] = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"};

// Makes the compiler take the value for another one.
template <typename Register>
void changed(Register& value) {
    __asm__ volatile("" : "+v"(value));
}

// The products of `blocks` blocks of 32 weights and one register's columns; nothing from memory.
#ifdef DOT_PRODUCT
constexpr int COLUMNS = sizeof(VECTOR) / 4;
void multiply_registers(int, int64_t blocks) {
    constexpr int SUMS = 12;  // more than an instruction takes cycles, times how many begin in one
    VECTOR sums[SUMS]  = {}, codes = {}, q = {};
    changed(codes);
    changed(q);
    for (VECTOR& sum : sums) {
        changed(sum);
    }
    for (int64_t i = 0; i < blocks * 8 / SUMS; i++) {
#pragma GCC unroll 12
        for (int s = 0; s < SUMS; s++) {
            sums[s] = DOT_PRODUCT(sums[s], codes, q);
        }
    }
    for (VECTOR& sum : sums) {
        changed(sum);
    }
}
#else
constexpr int COLUMNS = 8;
// As many sums of 16 bits as fit are added before they are widened; 8 bits are twice 4 bits.
template <int MOST>
void multiply_words(int64_t blocks) {
    __m256i sum[2] = {}, codes[8] = {}, q = {};
    const __m256i ones = _mm256_set1_epi16(1);
    for (int64_t i = 0; i < blocks; i++) {
        changed(q);
        __m256i words = {};
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) {
            changed(codes[j]);
            const __m256i pairs = _mm256_maddubs_epi16(codes[j], q);
            words               = j % MOST == 0 ? pairs : _mm256_add_epi16(words, pairs);
            if (j % MOST == MOST - 1) {
                sum[i % 2] = _mm256_add_epi32(sum[i % 2], _mm256_madd_epi16(words, ones));
            }
        }
    }
    changed(sum[0]);
    changed(sum[1]);
}
void multiply_registers(int bits, int64_t blocks) {
    switch (bits) {
        case 5: multiply_words<4>(blocks); break;
        case 6: multiply_words<2>(blocks); break;
        case 8: multiply_words<8>(2 * blocks); break;
        default: multiply_words<8>(blocks);
    }
}
#endif

// Products per second, by 1e9, of calls that make so many each.
template <typename Call>
double rate(double products, Call call) {
    call();
    const std::clock_t begin = std::clock();
    double seconds           = 0;
    int64_t calls            = 0;
    do {
        call();
        calls++;
        seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    } while (seconds < LEAST_S);
    return static_cast<double>(calls) * products / seconds / 1e9;
}

double kernel_rate(ggml_type type) {
    const int64_t bytes  = format_of(type).group_bytes(K);
    const int64_t groups = std::max<int64_t>(1, WEIGHTS_BYTES / bytes);
    // Any bytes are codes; as float16 these are between 0.01 and 0.1.
    std::vector<uint8_t> weights(static_cast<size_t>(groups * bytes));
    for (uint8_t& byte : weights) {
        byte = static_cast<uint8_t>(0x24 + std::rand() % 8);
    }
    std::vector<int8_t> q(static_cast<size_t>(TILES * ROWS * K));
    for (int8_t& value : q) {
        value = static_cast<int8_t>(std::rand() % 255 - 127);
    }
    const int64_t row_bytes = ROWS * K / BLOCK * format_of(type).row_block_bytes();
    const std::vector<float> blocks(static_cast<size_t>(TILES * row_bytes / 4), 0.01f);
    std::vector<float> out(static_cast<size_t>(TILES * ROWS * groups * GROUP));
    return rate(static_cast<double>(TILES * ROWS * K * groups * GROUP), [&] {
        for (int64_t tile = 0; tile < TILES; tile++) {
            const Tile rows = {q.data() + tile * ROWS * K, blocks.data() + tile * row_bytes / 4};
            for (int64_t group = 0; group < groups; group++) {
                float* to = out.data() + tile * ROWS * groups * GROUP + group * GROUP;
                KERNELS()->multiply(type, ROWS, K, weights.data() + group * bytes, rows, to, groups * GROUP);
            }
        }
    });
}

double limit_rate(ggml_type type) {
    constexpr int64_t BLOCKS = 120000;
    return rate(static_cast<double>(BLOCKS * BLOCK * COLUMNS), [&] { multiply_registers(format_of(type).multiplied_bits(), BLOCKS); });
}

}  // namespace

int main(int, char** arguments) {
    const int turns = std::atoi(arguments[1]);
    for (int turn = 0; turn < turns; turn++) {
        for (int i = 0; i < static_cast<int>(sizeof(TYPES) / sizeof(TYPES[0])); i++) {
            const double kernel = kernel_rate(TYPES[i]);
            std::printf("%s %.3f %.3f\n", NAMES[i], kernel, limit_rate(TYPES[i]));
            std::fflush(stdout);
        }
    }
    return 0;
}
