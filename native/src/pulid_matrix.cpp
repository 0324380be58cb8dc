// Quantized matrix products for x86 processors, as one more buffer type of ggml's CPU backend:
// matrices are reordered when they are written (pulid_matrix_layout.hpp), and multiplied by the
// fastest kernels that the processor has instructions for (pulid_kernels.h).

#include "pulid_matrix.h"

#include <algorithm>
#include <cstdint>

#include "ggml-backend-impl.h"
#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "pulid_kernels.h"
#include "pulid_matrix_layout.hpp"
#include "traits.h"

namespace {

// What a thread works on at a time should stay in the second-level cache.
constexpr int64_t CHUNK_BYTES = 192 * 1024;

struct MatrixTraits : public ggml::cpu::tensor_traits {
    bool work_size(int, const ggml_tensor* op, size_t& size) override {
        const size_t blocks = GGML_PAD(ggml_nrows(op->src[1]), ROWS) * (op->src[1]->ne[0] / BLOCK);
        size                = blocks * (BLOCK + format_of(op->src[0]->type).row_block_bytes());
        return true;
    }

    bool compute_forward(ggml_compute_params* params, ggml_tensor* op) override {
        const ggml_tensor* weight = op->src[0];
        const ggml_tensor* x      = op->src[1];
        const int64_t k           = weight->ne[0];
        const int64_t rows        = ggml_nrows(x);
        const int64_t groups      = weight->ne[1] / GROUP;
        const Format format       = format_of(weight->type);
        const int64_t bytes       = format.group_bytes(k);
        const Kernels* kernels    = pulid_kernels();
        const int64_t row_blocks  = k / BLOCK;
        auto* q                   = static_cast<int8_t*>(params->wdata);
        const int64_t row_bytes   = format.row_block_bytes();
        auto* blocks              = reinterpret_cast<uint8_t*>(q + GGML_PAD(rows, ROWS) * k);

        for (int64_t r = params->ith; r < rows; r += params->nth) {
            const char* row    = static_cast<const char*>(x->data) + r % x->ne[1] * x->nb[1] + r / x->ne[1] * x->nb[2];
            const int64_t tile = r / ROWS * ROWS * row_blocks;
            kernels->quantize_row(format, reinterpret_cast<const float*>(row), k,
                                  q + (tile + r % ROWS) * BLOCK, blocks + (tile + r % ROWS) * row_bytes);
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
                const Tile tile    = {q + row * k, blocks + row * row_blocks * row_bytes};
                for (int64_t group = chunk * per_chunk; group < std::min(groups, (chunk + 1) * per_chunk); group++) {
                    const auto* w = static_cast<const uint8_t*>(weight->data) + group * bytes;
                    float* dst    = static_cast<float*>(op->data) + row * weight->ne[1] + group * GROUP;
                    kernels->multiply(weight->type, some, k, w, tile, dst, weight->ne[1]);
                }
            }
        }
        return true;
    }
};

MatrixTraits matrix_traits;

bool takes(const ggml_tensor* weight) {
    return format_of(weight->type).bits != 0 && ggml_n_dims(weight) == 2 && weight->ne[1] % GROUP == 0;
}

const char* buffer_type_name(ggml_backend_buffer_type_t) {
    return pulid_kernels()->name;
}

ggml_status init_tensor(ggml_backend_buffer_t, ggml_tensor* tensor) {
    tensor->extra = &matrix_traits;
    return GGML_STATUS_SUCCESS;
}

void set_tensor(ggml_backend_buffer_t, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
    GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor));
    const int64_t k     = tensor->ne[0];
    const int64_t bytes = format_of(tensor->type).group_bytes(k);
    for (int64_t group = 0; group < tensor->ne[1] / GROUP; group++) {
        const auto* in = static_cast<const uint8_t*>(data) + group * GROUP * tensor->nb[1];
        write_group(tensor->type, static_cast<uint8_t*>(tensor->data) + group * bytes, in, tensor->nb[1], k);
    }
}

size_t alloc_size(ggml_backend_buffer_type_t, const ggml_tensor* tensor) {
    return takes(tensor) ? tensor->ne[1] / GROUP * format_of(tensor->type).group_bytes(tensor->ne[0]) : ggml_nbytes(tensor);
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
    return pulid_kernels() != nullptr ? &type : nullptr;
}
