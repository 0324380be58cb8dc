// Without an instruction for dot products of bytes: Intel since Haswell, AMD since Excavator and Zen.

#include "pulid_kernels.h"

#ifdef PULID_COMPILE_KERNELS

#include "pulid_kernel_templates.hpp"
#include "pulid_vector_256.hpp"

namespace {

// vpmaddubsw sums two products of bytes in 16 bits, and saturates. So many of its results can be
// added there for certain: 8 of 4-bit codes, 4 of 5 bits, 2 of 6 bits. Codes of 8 bits are taken
// apart into their low and high 4 bits.
struct VectorAvx2 : Vector256 {
    static constexpr int parts(int bits) { return bits == 8 ? 2 : 1; }

    template <int BITS, int PART>
    struct Codes {
        Int v[BLOCK / 4];
        void set(int j, Int codes) {
            v[j] = parts(BITS) == 1 ? codes : both(PART == 0 ? codes : right<4>(codes), bytes(15));
        }
    };

    template <int FROM, int TO, int BITS, int PART>
    static Int dot(Int sum, const Codes<BITS, PART>& codes, const int8_t* q) {
        constexpr int MOST = 32767 / (2 * 127 * ((1 << BITS / parts(BITS)) - 1));
        Int words          = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (int j = FROM; j < TO; j++) {
            int32_t four;
            memcpy(&four, q + 4 * j, 4);
            const int added = (j - FROM) % MOST;
            const Int pairs = _mm256_maddubs_epi16(codes.v[j], ints(four));
            words           = added == 0 ? pairs : _mm256_add_epi16(words, pairs);
            if (added == MOST - 1 || j == TO - 1) {
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(PART == 0 ? 1 : 16)));
            }
        }
        return sum;
    }
};

}  // namespace

const Kernels* pulid_kernels_avx2(void) {
    static constexpr Kernels kernels = kernels_named<VectorAvx2>("CPU_AVX2");
    return &kernels;
}

#else

const Kernels* pulid_kernels_avx2(void) {
    return nullptr;
}

#endif
