// What stands between the engine and the process it lives in: failures become C++ exceptions
// that the public functions catch (pulid_api.inl), and a running evaluation can be cancelled.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "ggml-backend.h"
#include "ggml.h"

namespace pulid {

struct Cancelled : public std::runtime_error {
    Cancelled() : std::runtime_error("cancelled") {}
};

struct EngineFailure : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Set while one of the guarded public functions runs on this thread.
inline thread_local int guard_depth                       = 0;
inline thread_local const std::atomic<bool>* cancel_flag = nullptr;

// Asked by the threads that read weights files; of the process, as there is no context yet.
inline std::atomic<bool> loading_cancelled{false};

// Calls what tidies up, on every way out of a block.
template <typename Call>
class AtEnd {
public:
    explicit AtEnd(Call call) : call(std::move(call)) {}
    AtEnd(const AtEnd&)            = delete;
    AtEnd& operator=(const AtEnd&) = delete;
    ~AtEnd() {
        if (wanted) {
            call();
        }
    }

    bool wanted = true;

private:
    Call call;
};

[[noreturn]] inline void fail(const std::string& message) {
    throw EngineFailure(message);
}

// The engine would only warn, and go on without the file.
[[noreturn]] inline bool unreadable(const std::string& path) {
    fail("cannot read " + path);
}

// ggml calls this before abort(). On the thread of a guarded call the failed assertion becomes
// an exception; on a worker thread nothing can be unwound, so the message is all we can save.
inline void on_ggml_abort(const char* message) {
    if (guard_depth > 0) {
        // "/where/it/was/built/ggml.c:123: ..." tells a user nothing before its file name.
        const std::string text  = message;
        const size_t place_ends = text.find(": ");
        const size_t directory  = text.find_last_of("/\\", place_ends);
        throw EngineFailure(directory == std::string::npos ? text : text.substr(directory + 1));
    }
    std::fprintf(stderr, "%s\n", message);
}

inline void forward_ggml_log(ggml_log_level level, const char* text, void*) {
    if (std::strncmp(text, "repack: repack tensor", 21) == 0) {
        return;  // a line for each matrix; pulid_repack.hpp says how many there are
    }
    switch (level) {
        case GGML_LOG_LEVEL_ERROR: LOG_ERROR("%s", text); break;
        case GGML_LOG_LEVEL_WARN: LOG_WARN("%s", text); break;
        case GGML_LOG_LEVEL_INFO: LOG_INFO("%s", text); break;
        default: LOG_DEBUG("%s", text);
    }
}

// What a thread of the engine's own runs while files are read. Nothing above it would catch an
// exception, so it becomes a failed load here.
template <typename Call>
auto guarded_worker(std::atomic<bool>& failed, Call call) {
    return [&failed, call = std::move(call)]() mutable {
        guard_depth++;
        try {
            call();
        } catch (const std::exception& error) {
            LOG_ERROR("%s", error.what());
            failed = true;
        }
        guard_depth--;
    };
}

// What a matrix product on the CPU needs beyond what its device says of itself.
inline bool cpu_can_multiply(const ggml_tensor* node, bool repacked) {
    const ggml_type type = node->src[0]->type;
    return (type == GGML_TYPE_F32 || ggml_get_type_traits(type)->to_float != nullptr) && (!repacked || node->src[1]->ne[3] == 1);
}

inline bool computes_nothing(const ggml_tensor* node) {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_RESHAPE:
        case GGML_OP_VIEW:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE: return true;
        default: return ggml_is_empty(node);
    }
}

// Refuses a graph with a node that the device cannot compute. The CPU notices that on a worker
// thread, where nothing can be unwound; others end the process, or read what is not there.
inline void check_graph(ggml_backend_t backend, ggml_cgraph* graph) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    const bool is_cpu         = ggml_backend_is_cpu(backend);
    for (int i = 0; i < ggml_graph_n_nodes(graph); i++) {
        const ggml_tensor* node = ggml_graph_node(graph, i);
        if (computes_nothing(node)) {
            continue;
        }
        const bool repacked  = is_cpu && node->src[0] != nullptr && node->src[0]->buffer != nullptr && !ggml_backend_buffer_is_host(node->src[0]->buffer);
        const bool supported = ggml_backend_dev_supports_op(device, node) && (!is_cpu || node->op != GGML_OP_MUL_MAT || cpu_can_multiply(node, repacked));
        if (!supported) {
            std::string types;
            for (int j = 0; j < GGML_MAX_SRC && node->src[j] != nullptr; j++) {
                types += std::string(j == 0 ? "" : " and ") + ggml_type_name(node->src[j]->type);
            }
            const char* advice = repacked ? " with repacked weights; load the model with repack=False (--no-repack)"
                                 : is_cpu ? ""
                                          : "; let another device compute this part of the model (backend, --backend)";
            fail(std::string(ggml_backend_name(backend)) + " cannot compute " + ggml_op_desc(node) + " of " + types + advice);
        }
    }
}

inline bool is_cancelled(void* flag) {
    return flag != nullptr && static_cast<const std::atomic<bool>*>(flag)->load();
}

// Runs one graph. A cancellation takes effect before it, and on a CPU backend between any two
// of its nodes. LoRA graphs are let through: half-merged weights could not be taken back.
inline ggml_status compute_graph(ggml_backend_t backend, ggml_cgraph* graph, const std::string& module) {
    void* flag = module == "lora" ? nullptr : const_cast<std::atomic<bool>*>(cancel_flag);
    if (is_cancelled(flag)) {
        throw Cancelled();
    }
    check_graph(backend, graph);
    if (ggml_backend_is_cpu(backend)) {
        ggml_backend_cpu_set_abort_callback(backend, is_cancelled, flag);
    }
    ggml_status status = ggml_backend_graph_compute(backend, graph);
    if (status == GGML_STATUS_ABORTED) {
        throw Cancelled();
    }
    return status;
}

}  // namespace pulid
