// Quantized matrices in the layout that the CPU's fastest kernels want.
//
// ggml's CPU backend has buffer types (CPU_REPACK and our own) that reorder a matrix when it is
// written and multiply faster from there. Which matrices they take depends on type, shape and
// processor; every other tensor stays in a plain buffer.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"

namespace pulid {

// For the next new_sd_ctx() on this thread.
inline thread_local bool repack_wanted = true;

// A name that says: only ever multiplied with, as ggml_mul_mat(weight, x). The engine's own
// tensors of parameters have none. Rows of an embedding are read, which these layouts cannot.
constexpr char MATRIX_NAME[] = "pulid.matrix";

inline ggml_tensor* named_matrix(ggml_tensor* weight) {
    return ggml_set_name(weight, MATRIX_NAME);
}

// Whether the CPU can multiply with `weight` from a buffer of this type.
inline bool takes_matrix(ggml_backend_dev_t device, ggml_backend_buffer_type_t type, ggml_tensor* weight) {
    ggml_backend_buffer_t probe = ggml_backend_buft_alloc_buffer(type, 0);
    ggml_context* ctx           = ggml_init({4 * ggml_tensor_overhead(), nullptr, true});
    weight->buffer              = probe;
    ggml_tensor* x              = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, weight->ne[0], 512);
    const bool supported        = ggml_backend_dev_supports_op(device, ggml_mul_mat(ctx, weight, x));
    weight->buffer              = nullptr;
    ggml_free(ctx);
    ggml_backend_buffer_free(probe);
    return supported;
}

inline std::vector<ggml_backend_buffer_type_t> extra_buffer_types(ggml_backend_dev_t device) {
    std::vector<ggml_backend_buffer_type_t> types;
    auto get = reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), "ggml_backend_dev_get_extra_bufts"));
    if (get != nullptr) {
        for (ggml_backend_buffer_type_t* type = get(device); type != nullptr && *type != nullptr; type++) {
            types.push_back(*type);
        }
    }
    return types;
}

// Gives the matrices of `ctx` that have a faster layout memory of that layout, in buffers added to
// `buffers`. What is left, all of it when there is no memory for this, is for
// ggml_backend_alloc_ctx_tensors().
inline std::vector<ggml_backend_buffer_t> alloc_repacked(ggml_context* ctx,
                                                         ggml_backend_t backend,
                                                         const std::string& module,
                                                         std::vector<ggml_backend_buffer_t> buffers = {}) {
    if (!repack_wanted || !ggml_backend_is_cpu(backend)) {
        return buffers;
    }
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    for (ggml_backend_buffer_type_t type : extra_buffer_types(device)) {
        std::vector<ggml_tensor*> taken;
        size_t bytes           = 0;
        const size_t alignment = ggml_backend_buft_get_alignment(type);
        for (ggml_tensor* t = ggml_get_first_tensor(ctx); t != nullptr; t = ggml_get_next_tensor(ctx, t)) {
            const bool candidate = t->data == nullptr && ggml_is_quantized(t->type) && strcmp(t->name, MATRIX_NAME) == 0;
            if (candidate && takes_matrix(device, type, t)) {
                taken.push_back(t);
                bytes += GGML_PAD(ggml_backend_buft_get_alloc_size(type, t), alignment);
            }
        }
        ggml_backend_buffer_t buffer = taken.empty() ? nullptr : ggml_backend_buft_alloc_buffer(type, bytes + alignment);
        if (buffer == nullptr) {
            continue;
        }
        ggml_tallocr allocator = ggml_tallocr_new(buffer);
        for (ggml_tensor* t : taken) {
            ggml_tallocr_alloc(&allocator, t);
        }
        ggml_backend_buffer_set_usage(buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        LOG_DEBUG("%s: %zu matrices of %.1f MB repacked (%s)", module.c_str(), taken.size(), bytes / 1e6, ggml_backend_buft_name(type));
        buffers.push_back(buffer);
    }
    return buffers;
}

}  // namespace pulid
