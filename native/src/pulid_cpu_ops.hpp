// A step of Flux that the engine builds from a dozen small tensor operations, as one pass on the
// CPU. Other backends keep the engine's own graph.
#pragma once

#include "ggml-backend.h"
#include "ggml.h"

namespace pulid {

// Rotary position embedding of neighbouring pairs.
//   dst (d_head, n_tokens, n_head * n), src[0] x (d_head, n_head, n_tokens, n),
//   src[1] pe (2, 2, d_head / 2, n_tokens): [[cos, -sin], [sin, cos]]
inline void rope_on_cpu(ggml_tensor* dst, int ith, int nth, void*) {
    const ggml_tensor* x   = dst->src[0];
    const ggml_tensor* pe  = dst->src[1];
    const int64_t pairs    = x->ne[0] / 2;
    const int64_t n_head   = x->ne[1];
    const int64_t n_tokens = x->ne[2];
    for (int64_t i = ith; i < n_tokens * x->ne[3]; i += nth) {
        const int64_t token = i % n_tokens, n = i / n_tokens;
        const auto* turn = reinterpret_cast<const float*>(static_cast<const char*>(pe->data) + token * pe->nb[3]);
        for (int64_t head = 0; head < n_head; head++) {
            const auto* in = reinterpret_cast<const float*>(
                static_cast<const char*>(x->data) + head * x->nb[1] + token * x->nb[2] + n * x->nb[3]);
            auto* out = reinterpret_cast<float*>(
                static_cast<char*>(dst->data) + token * dst->nb[1] + (head + n * n_head) * dst->nb[2]);
            for (int64_t p = 0; p < pairs; p++) {
                out[2 * p]     = in[2 * p] * turn[4 * p] + in[2 * p + 1] * turn[4 * p + 1];
                out[2 * p + 1] = in[2 * p] * turn[4 * p + 2] + in[2 * p + 1] * turn[4 * p + 3];
            }
        }
    }
}

// The same as Rope::apply_rope(), or null where that has to do it.
inline ggml_tensor* apply_rope(ggml_context* ctx, ggml_backend_t backend, ggml_tensor* x, ggml_tensor* pe, bool interleaved) {
    const bool fits = x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && pe->type == GGML_TYPE_F32 && ggml_is_contiguous(pe);
    if (!interleaved || !fits || !ggml_backend_is_cpu(backend)) {
        return nullptr;
    }
    ggml_tensor* args[] = {x, pe};
    return ggml_custom_4d(ctx, GGML_TYPE_F32, x->ne[0], x->ne[2], x->ne[1] * x->ne[3], 1, args, 2, rope_on_cpu, GGML_N_TASKS_MAX, nullptr);
}

}  // namespace pulid
