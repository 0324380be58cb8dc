// AVX-512's encoding of what AVX-VNNI has: for trying those kernels on a processor without it.

#include "pulid_kernels.h"

#ifdef PULID_COMPILE_KERNELS

#define DOT_PRODUCT _mm256_dpbusd_epi32
#include "pulid_vector_256_vnni.hpp"

const Kernels* pulid_kernels_avx512vl(void) {
    static constexpr Kernels kernels = kernels_named<Vector256Vnni>("CPU_AVX512VL_VNNI");
    return &kernels;
}

#else

const Kernels* pulid_kernels_avx512vl(void) {
    return nullptr;
}

#endif
