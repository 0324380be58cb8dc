// AVX-VNNI: Intel's Core since Alder Lake (2021), AMD since Zen 5.

#include "pulid_kernels.h"

#ifdef PULID_COMPILE_KERNELS

#define DOT_PRODUCT _mm256_dpbusd_avx_epi32
#include "pulid_vector_256_vnni.hpp"

const Kernels* pulid_kernels_avxvnni(void) {
    static constexpr Kernels kernels = kernels_named<Vector256Vnni>("CPU_AVXVNNI");
    return &kernels;
}

#else

const Kernels* pulid_kernels_avxvnni(void) {
    return nullptr;
}

#endif
