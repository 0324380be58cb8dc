# Our kernels for quantized matrices, one file for each instruction set, compiled for it whatever
# the rest is compiled for: which of them may run is decided on the computer that runs them.
include(CheckCXXSourceCompiles)

set(KERNEL_SETS avx2 avxvnni avx512vl avx512vnni)
if(MSVC)
    # Intrinsic functions need no option; what the compiler makes of everything else does.
    set(FLAGS_avx2 /arch:AVX2)
    set(FLAGS_avxvnni /arch:AVX2)
    set(FLAGS_avx512vl /arch:AVX512)
    set(FLAGS_avx512vnni /arch:AVX512)
else()
    # -march again, for GGML_NATIVE's may have more. No contraction: every set rounds alike.
    set(FLAGS_avx2 -march=x86-64 -mavx2 -mfma -mf16c -ffp-contract=off)
    set(FLAGS_avxvnni ${FLAGS_avx2} -mavxvnni)
    set(FLAGS_avx512vl ${FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni)
    set(FLAGS_avx512vnni ${FLAGS_avx512vl})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # Of its own header, where registers without a value are meant.
        list(APPEND FLAGS_avx512vnni -Wno-maybe-uninitialized)
    endif()
endif()
set(TRIED_avx2 "_mm256_maddubs_epi16(_mm256_setzero_si256(), _mm256_setzero_si256())")
set(TRIED_avxvnni "_mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256())")
set(TRIED_avx512vl "_mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256())")
set(TRIED_avx512vnni "_mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512())")

foreach(set IN LISTS KERNEL_SETS)
    list(JOIN FLAGS_${set} " " CMAKE_REQUIRED_FLAGS)
    check_cxx_source_compiles("#include <immintrin.h>
        int main() { auto found = ${TRIED_${set}}; return sizeof(found) == 0; }" COMPILES_KERNELS_${set})
endforeach()
unset(CMAKE_REQUIRED_FLAGS)

# One CPU backend of ggml gets them. Properties of a file hold for one directory's targets.
function(add_kernels target)
    foreach(set IN LISTS KERNEL_SETS)
        set(file "${NATIVE}/src/pulid_kernels_${set}.cpp")
        target_sources(${target} PRIVATE "${file}")
        if(COMPILES_KERNELS_${set})
            set_source_files_properties("${file}" TARGET_DIRECTORY ${target} PROPERTIES
                COMPILE_OPTIONS "${FLAGS_${set}}" COMPILE_DEFINITIONS PULID_COMPILE_KERNELS)
        endif()
    endforeach()
endfunction()
