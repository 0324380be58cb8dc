// Identity attention, folded: what PuLID adds to the image tokens of Flux.
//
// The identity does not change while a picture is made, so Python computes everything on its
// side of the cross-attention once (pulid_sdcpp/families/flux/folding.py) and the engine keeps, per layer,
//   a (hidden, rows), bias (rows), b (rows, hidden)         rows = heads * identity tokens
// and adds   weight * b . softmax_per_head(a . LayerNorm0(x) + bias)   to the image tokens x,
// in a region of the picture only where one is given.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pulid_memory.hpp"
#include "pulid_repack.hpp"
#include "pulid_text.hpp"

namespace pulid {

struct IdentityLayout {
    int64_t hidden = 0;
    int64_t heads  = 0;
    int64_t tokens = 0;
    ggml_type type = GGML_TYPE_F16;
    // (is it a single-stream block, its index) -> layer
    std::map<std::pair<bool, int>, int> layer_after_block;

    int64_t rows() const { return heads * tokens; }
    int layers() const { return static_cast<int>(layer_after_block.size()); }
};

struct IdentityLayer {
    ggml_tensor* a    = nullptr;
    ggml_tensor* bias = nullptr;
    ggml_tensor* b    = nullptr;
};

// One identity's part in a generation. `negative`: it belongs to the negative pass of true CFG.
struct IdentityUse {
    int slot       = 0;
    float weight   = 1.f;
    int start_step = 0;
    int end_step   = INT32_MAX;
    bool negative  = false;
    int pass       = 0;  // 0: the first, 1: the second, larger one (hires)
    // Per image token what the contribution is multiplied by; empty: 1 everywhere.
    std::vector<float> region = {};
};

// Tensors with memory, in a context of their own, which are all gone at the end unless released.
struct StagedTensors {
    ggml_context* ctx;
    std::vector<ggml_backend_buffer_t> buffers;

    explicit StagedTensors(size_t count)
        : ctx(ggml_init({(count + 1) * ggml_tensor_overhead(), nullptr, true})) {
        if (ctx == nullptr) {
            fail("out of memory: no room for another identity beside the model");
        }
    }
    StagedTensors(const StagedTensors&)            = delete;
    StagedTensors& operator=(const StagedTensors&) = delete;
    ~StagedTensors() {
        for (ggml_backend_buffer_t buffer : buffers) {
            ggml_backend_buffer_free(buffer);
        }
        ggml_free(ctx);
    }

    bool allocate(ggml_backend_t backend, bool is_computed_there) {
        buffers                      = alloc_repacked(ctx, is_computed_there ? backend : nullptr, "identity");
        ggml_backend_buffer_t buffer = ggml_backend_alloc_ctx_tensors(ctx, backend);
        if (buffer == nullptr) {
            return false;
        }
        ggml_backend_buffer_set_usage(buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        buffers.push_back(buffer);
        return true;
    }

    // The memory, which is the caller's now.
    std::vector<ggml_backend_buffer_t> release() { return std::exchange(buffers, {}); }
};

// A model runner with slots for identities. Their tensors are parameters of the runner (members
// of its params_ctx), so that offloading, graph-cut streaming and memory accounting cover them;
// a slot is allocated when it is first needed, and kept.
struct IdentityRunner : public GGMLRunner {
    using GGMLRunner::GGMLRunner;

    ~IdentityRunner() override {
        free_compute_buffer();
        for (ggml_backend_buffer_t buffer : identity_buffers) {
            ggml_backend_buffer_free(buffer);
        }
    }

    const IdentityLayout& identity_layout() const { return layout; }

    void set_identity_layout(IdentityLayout new_layout) {
        if (!slots.empty()) {
            fail("the identity layout is set once, before the first identity");
        }
        layout = std::move(new_layout);
    }

    // All or nothing: what fails leaves the slots, and everything else, as they were.
    void reserve_identity_slots(size_t count) {
        if (count <= slots.size()) {
            return;
        }
        const size_t added       = count - slots.size();
        const size_t n_tensors   = added * layout.layers() * 3;
        const size_t layer_bytes = 2 * ggml_row_size(layout.type, layout.hidden * layout.rows()) + 4 * layout.rows() + 1024;
        const size_t free_bytes  = ggml_get_mem_size(params_ctx) - ggml_used_mem(params_ctx);
        if (n_tensors > free_bytes / ggml_tensor_overhead()) {
            fail("no room for " + std::to_string(count) + " identities: the engine's list of tensors is full");
        }
        if (!fits_in_memory(params_backend, added * layout.layers() * layer_bytes, "another identity")) {
            fail("out of memory: no room for another identity beside the model");
        }
        // Memory first, in a context of its own: a tensor of params_ctx cannot be taken back.
        StagedTensors staged(n_tensors);
        const std::vector<std::vector<IdentityLayer>> drafts = new_slots(staged.ctx, added);
        if (!staged.allocate(params_backend, params_backend == runtime_backend)) {
            fail("out of memory: no room for another identity beside the model");
        }
        ggml_context* fresh_offload = nullptr;  // mirrors params_ctx; refilled at the next offload
        if (offload_ctx != nullptr) {
            fresh_offload = ggml_init({static_cast<size_t>(MAX_PARAMS_TENSOR_NUM * ggml_tensor_overhead()), nullptr, true});
            if (fresh_offload == nullptr) {
                fail("out of memory: no room for another identity beside the model");
            }
        }
        free_compute_buffer();  // brings offloaded parameters home before their set changes
        for (const std::vector<IdentityLayer>& draft : drafts) {
            std::vector<IdentityLayer> slot = new_slots(params_ctx, 1).front();
            for (size_t i = 0; i < slot.size(); i++) {
                take_memory(slot[i].a, draft[i].a);
                take_memory(slot[i].bias, draft[i].bias);
                take_memory(slot[i].b, draft[i].b);
            }
            slots.push_back(std::move(slot));
        }
        for (ggml_backend_buffer_t buffer : staged.release()) {
            identity_buffers.push_back(buffer);
        }
        rebuild_params_tensor_set();
        if (fresh_offload != nullptr) {
            ggml_free(offload_ctx);
            offload_ctx = fresh_offload;
        }
    }

    void write_identity_layer(int slot, int layer, const void* a, const float* bias, const void* b) {
        const IdentityLayer& target = slots.at(slot).at(layer);
        ggml_backend_tensor_set(target.a, a, 0, ggml_nbytes(target.a));
        ggml_backend_tensor_set(target.bias, bias, 0, ggml_nbytes(target.bias));
        ggml_backend_tensor_set(target.b, b, 0, ggml_nbytes(target.b));
    }

    // Which identities take part in the generations that follow; none: as if there were no PuLID.
    void set_identity_uses(std::vector<IdentityUse> new_uses) {
        for (const IdentityUse& use : new_uses) {
            slots.at(use.slot);
        }
        uses = std::move(new_uses);
        enter_pass(0);
    }

    // The uses of which pass take part from now on; each has steps and regions of its own.
    void enter_pass(int number) {
        pass = number;
        active_uses.clear();
    }

    // Before each model evaluation: its step (from 0) and whether it is the negative pass.
    void select_identities(int step, bool negative) {
        active_uses.clear();
        for (const IdentityUse& use : uses) {
            if (use.pass == pass && use.weight != 0.f && use.negative == negative && step >= use.start_step && step < use.end_step) {
                active_uses.push_back(use);
            }
        }
    }

    // Whether another set of identities takes part in a step (from 0) than in the one before it.
    bool identities_change_at(int step) const {
        for (const IdentityUse& use : uses) {
            if (use.pass == pass && use.weight != 0.f && (use.start_step == step || use.end_step == step)) {
                return true;
            }
        }
        return false;
    }

    // Kontext references follow the generated tokens; the identity belongs on the latter only.
    // Called when a graph is built, whose regions are inputs of their own.
    void set_image_tokens(int64_t count) {
        image_tokens = count;
        regions.assign(active_uses.size(), nullptr);
    }

    // Room for what add_identity adds, up to 9 nodes for a person and 2 for all.
    ggml_cgraph* new_graph_custom(size_t size) {
        return GGMLRunner::new_graph_custom(size + layout.layers() * (9 * active_uses.size() + 2));
    }

    // x: (hidden, n_tokens, 1), the output of a block; its image tokens begin at `first_token`.
    ggml_tensor* add_identity(ggml_context* ctx, ggml_tensor* x, bool single, int block, int64_t first_token) {
        auto found = layout.layer_after_block.find({single, block});
        if (active_uses.empty() || found == layout.layer_after_block.end()) {
            return x;
        }
        const size_t offset = first_token * x->nb[1];
        ggml_tensor* image  = ggml_view_2d(ctx, x, x->ne[0], image_tokens, x->nb[1], offset);
        ggml_tensor* normed = ggml_norm(ctx, image, 1e-5f);
        for (size_t i = 0; i < active_uses.size(); i++) {
            const IdentityUse& use     = active_uses[i];
            const IdentityLayer& layer = slots[use.slot][found->second];
            ggml_tensor* scores        = ggml_mul_mat(ctx, layer.a, normed);  // (rows, image_tokens)
            ggml_mul_mat_set_prec(scores, GGML_PREC_F32);
            scores = ggml_add_inplace(ctx, scores, layer.bias);
            scores = ggml_reshape_2d(ctx, scores, layout.tokens, layout.heads * image_tokens);
            scores = ggml_soft_max_inplace(ctx, scores);
            scores = ggml_reshape_2d(ctx, scores, layout.rows(), image_tokens);
            // Here it is fewer numbers than in what they are multiplied with.
            scores             = use.weight == 1.f ? scores : ggml_scale_inplace(ctx, scores, use.weight);
            scores             = use.region.empty() ? scores : ggml_mul_inplace(ctx, scores, region_input(i));
            ggml_tensor* delta = ggml_mul_mat(ctx, layer.b, scores);  // (hidden, image_tokens)
            ggml_mul_mat_set_prec(delta, GGML_PREC_F32);
            x                  = ggml_acc_inplace(ctx, x, delta, x->nb[1], x->nb[2], x->nb[3], offset);
        }
        return x;
    }

    size_t get_params_buffer_size() {
        size_t total = GGMLRunner::get_params_buffer_size();
        for (ggml_backend_buffer_t buffer : identity_buffers) {
            total += ggml_backend_buffer_get_size(buffer);
        }
        return total;
    }

private:
    std::vector<std::vector<IdentityLayer>> new_slots(ggml_context* ctx, size_t count) const {
        std::vector<std::vector<IdentityLayer>> made(count, std::vector<IdentityLayer>(layout.layers()));
        for (std::vector<IdentityLayer>& slot : made) {
            for (IdentityLayer& layer : slot) {
                layer.a    = named_matrix(ggml_new_tensor_2d(ctx, layout.type, layout.hidden, layout.rows()));
                layer.bias = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, layout.rows());
                layer.b    = named_matrix(ggml_new_tensor_2d(ctx, layout.type, layout.rows(), layout.hidden));
            }
        }
        return made;
    }

    static void take_memory(ggml_tensor* tensor, const ggml_tensor* draft) {
        ggml_backend_tensor_alloc(draft->buffer, tensor, draft->data);
    }

    ggml_tensor* region_input(size_t index) {
        if (regions[index] == nullptr) {
            const std::vector<float>& region = active_uses[index].region;
            if (static_cast<int64_t>(region.size()) != image_tokens) {
                fail("the region of a person was made for a picture of another size");
            }
            regions[index] = ggml_new_tensor_2d(compute_ctx, GGML_TYPE_F32, 1, image_tokens);
            set_backend_tensor_data(regions[index], region.data());
        }
        return regions[index];
    }

    IdentityLayout layout;
    std::vector<std::vector<IdentityLayer>> slots;
    std::vector<ggml_backend_buffer_t> identity_buffers;
    std::vector<IdentityUse> uses;
    std::vector<IdentityUse> active_uses;
    std::vector<ggml_tensor*> regions;  // of active_uses, in the graph that is being built
    int64_t image_tokens = 0;
    int pass             = 0;
};

}  // namespace pulid
