// With GGML_BACKEND_DL the CPU backend is a module loaded at run time, and what the engine calls
// of it by name is not there to link with. Here are those functions, through ggml's registry.

#include <cstring>

#include "ggml-backend.h"

static int has(const char* feature) {
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    auto get               = cpu == nullptr ? nullptr
                                            : reinterpret_cast<ggml_backend_get_features_t>(
                                    ggml_backend_reg_get_proc_address(cpu, "ggml_backend_get_features"));
    if (get != nullptr) {
        for (ggml_backend_feature* found = get(cpu); found->name != nullptr; found++) {
            if (std::strcmp(found->name, feature) == 0) {
                return 1;
            }
        }
    }
    return 0;
}

extern "C" {

ggml_backend_t ggml_backend_cpu_init(void) {
    return ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
}

int ggml_cpu_has_sse3(void) { return has("SSE3"); }
int ggml_cpu_has_avx(void) { return has("AVX"); }
int ggml_cpu_has_avx2(void) { return has("AVX2"); }
int ggml_cpu_has_avx512(void) { return has("AVX512"); }
int ggml_cpu_has_avx512_vbmi(void) { return has("AVX512_VBMI"); }
int ggml_cpu_has_avx512_vnni(void) { return has("AVX512_VNNI"); }
int ggml_cpu_has_fma(void) { return has("FMA"); }
int ggml_cpu_has_neon(void) { return has("NEON"); }
int ggml_cpu_has_arm_fma(void) { return has("ARM_FMA"); }
int ggml_cpu_has_f16c(void) { return has("F16C"); }
int ggml_cpu_has_fp16_va(void) { return has("FP16_VA"); }
int ggml_cpu_has_wasm_simd(void) { return has("WASM_SIMD"); }
int ggml_cpu_has_vsx(void) { return has("VSX"); }
}
