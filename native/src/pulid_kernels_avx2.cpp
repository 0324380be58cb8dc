// Without an instruction for dot products of bytes: Intel since Haswell, AMD since Excavator and Zen.

#include "pulid_kernels.h"

#ifdef PULID_COMPILE_KERNELS

#include "pulid_kernel_templates.hpp"
#include "pulid_vector_256.hpp"

namespace {

// vpmaddubsw sums two products of bytes in 16 bits, and saturates. So many of its results can be
// added there for certain: 8 of 4-bit codes, 4 of 5 bits, 2 of 6 bits. Codes of 8 bits are taken
// apart into two of 4 bits.
struct VectorAvx2 : Vector256 {
    template <int BITS>
    struct Codes {
        static constexpr int PARTS = BITS == 8 ? 2 : 1;
        static constexpr int MOST  = 32767 / (2 * 127 * ((1 << BITS / PARTS) - 1));
        Int v[PARTS][BLOCK / 4];
        void set(int j, Int codes) {
            if constexpr (PARTS == 1) {
                v[0][j] = codes;
            } else {
                v[0][j] = both(codes, bytes(15));
                v[1][j] = both(right<4>(codes), bytes(15));
            }
        }
    };

    template <int FROM, int TO, int BITS>
    static Int dot(Int sum, const Codes<BITS>& codes, const int8_t* q) {
        constexpr int PARTS = Codes<BITS>::PARTS;
        constexpr int MOST  = Codes<BITS>::MOST;
        Int words[PARTS] = {};
#pragma GCC unroll 8
        for (int j = FROM; j < TO; j++) {
            int32_t four;
            memcpy(&four, q + 4 * j, 4);
            const int added = (j - FROM) % MOST;
            for (int part = 0; part < PARTS; part++) {
                const Int pairs = _mm256_maddubs_epi16(codes.v[part][j], ints(four));
                words[part]     = added == 0 ? pairs : _mm256_add_epi16(words[part], pairs);
                if (added == MOST - 1 || j == TO - 1) {
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words[part], _mm256_set1_epi16(part == 0 ? 1 : 16)));
                }
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
