// Slots for identities in a diffusion model: the memory of what was folded of each, and which of
// them takes part in what. pulid_flux_identity.hpp and pulid_unet_identity.hpp say what a layer of an
// identity consists of, and what it adds to the picture.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pulid_memory.hpp"
#include "pulid_repack.hpp"
#include "pulid_text.hpp"

namespace pulid {

// How an identity takes part in the projections of a UNet's layers (pulid_unet_identity.hpp).
enum class Projection { none, ortho, ortho_v2 };

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
    // Of a UNet only: that on its coarser grid; how many tokens the identity has, and how many zero
    // tokens follow them.
    std::vector<float> region_coarse = {};
    int tokens                       = 0;
    int zeros                        = 0;
    Projection projection            = Projection::none;
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
    using Layer = std::vector<ggml_tensor*>;
    using Slot  = std::vector<Layer>;

    ~IdentityRunner() override {
        free_compute_buffer();
        for (ggml_backend_buffer_t buffer : identity_buffers) {
            ggml_backend_buffer_free(buffer);
        }
    }

    // Adds slots until there are `count`, the new ones for identities of `tokens` tokens. All or nothing:
    // what fails leaves the slots, and everything else, as they were.
    void reserve_identity_slots(size_t count, int64_t tokens) {
        if (count <= slots.size()) {
            return;
        }
        const size_t added      = count - slots.size();
        const size_t n_tensors  = added * slot_tensors();
        const size_t free_bytes = ggml_get_mem_size(params_ctx) - ggml_used_mem(params_ctx);
        if (n_tensors == 0) {
            fail("the identity layout is set before the first identity");
        }
        if (n_tensors > free_bytes / ggml_tensor_overhead()) {
            fail("no room for " + std::to_string(count) + " identities: the engine's list of tensors is full");
        }
        if (!fits_in_memory(params_backend, added * slot_bytes(tokens), "another identity")) {
            fail("out of memory: no room for another identity beside the model");
        }
        // Memory first, in a context of its own: a tensor of params_ctx cannot be taken back.
        StagedTensors staged(n_tensors);
        std::vector<Slot> drafts;
        for (size_t i = 0; i < added; i++) {
            drafts.push_back(new_slot(staged.ctx, tokens));
        }
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
        for (const Slot& draft : drafts) {
            Slot slot = new_slot(params_ctx, tokens);
            for (size_t layer = 0; layer < slot.size(); layer++) {
                for (size_t part = 0; part < slot[layer].size(); part++) {
                    ggml_backend_tensor_alloc(draft[layer][part]->buffer, slot[layer][part], draft[layer][part]->data);
                }
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

    // What a slot has in a layer, in the order of its tensors.
    void write_identity_layer(int slot, int layer, const std::vector<const void*>& parts) {
        const Layer& target = slots.at(slot).at(layer);
        if (parts.size() != target.size()) {
            fail("an identity of another kind of model");
        }
        for (size_t i = 0; i < parts.size(); i++) {
            ggml_backend_tensor_set(target[i], parts[i], 0, ggml_nbytes(target[i]));
        }
    }

    // Which identities take part in the generations that follow; none: as if there were no PuLID.
    void set_identity_uses(std::vector<IdentityUse> new_uses) {
        for (const IdentityUse& use : new_uses) {
            check_use(use, slots.at(use.slot));
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

    size_t get_params_buffer_size() {
        size_t total = GGMLRunner::get_params_buffer_size();
        for (ggml_backend_buffer_t buffer : identity_buffers) {
            total += ggml_backend_buffer_get_size(buffer);
        }
        return total;
    }

protected:
    virtual size_t slot_tensors() const                                 = 0;
    virtual size_t slot_bytes(int64_t tokens) const                     = 0;
    virtual Slot new_slot(ggml_context* ctx, int64_t tokens) const      = 0;
    virtual void check_use(const IdentityUse& use, const Slot& slot) const {}

    std::vector<Slot> slots;
    std::vector<IdentityUse> active_uses;

private:
    std::vector<ggml_backend_buffer_t> identity_buffers;
    std::vector<IdentityUse> uses;
    int pass = 0;
};

}  // namespace pulid
