// Identity attention, folded: what PuLID adds to the image tokens of Flux.
//
// The identity does not change while a picture is made, so Python computes everything on its
// side of the cross-attention once (pulid_sdcpp/families/flux/folding.py) and the engine keeps, per layer,
//   a (hidden, rows), bias (rows), b (rows, hidden)         rows = heads * identity tokens
// and adds   weight * b . softmax_per_head(a . LayerNorm0(x) + bias)   to the image tokens x,
// in a region of the picture only where one is given.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "pulid_identity_slots.hpp"

namespace pulid {

struct FluxIdentityLayout {
    int64_t hidden = 0;
    int64_t heads  = 0;
    int64_t tokens = 0;
    ggml_type type = GGML_TYPE_F16;
    // (is it a single-stream block, its index) -> layer
    std::map<std::pair<bool, int>, int> layer_after_block;

    int64_t rows() const { return heads * tokens; }
    size_t layers() const { return layer_after_block.size(); }
};

struct FluxIdentityRunner : public IdentityRunner {
    using IdentityRunner::IdentityRunner;

    void set_identity_layout(FluxIdentityLayout new_layout) {
        if (!slots.empty()) {
            fail("the identity layout is set once, before the first identity");
        }
        layout = std::move(new_layout);
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
            const IdentityUse& use = active_uses[i];
            const Layer& layer     = slots[use.slot][found->second];
            ggml_tensor* scores    = ggml_mul_mat(ctx, layer[A], normed);  // (rows, image_tokens)
            ggml_mul_mat_set_prec(scores, GGML_PREC_F32);
            scores = ggml_add_inplace(ctx, scores, layer[BIAS]);
            scores = ggml_reshape_2d(ctx, scores, layout.tokens, layout.heads * image_tokens);
            scores = ggml_soft_max_inplace(ctx, scores);
            scores = ggml_reshape_2d(ctx, scores, layout.rows(), image_tokens);
            // Here it is fewer numbers than in what they are multiplied with.
            scores             = use.weight == 1.f ? scores : ggml_scale_inplace(ctx, scores, use.weight);
            scores             = use.region.empty() ? scores : ggml_mul_inplace(ctx, scores, region_input(i));
            ggml_tensor* delta = ggml_mul_mat(ctx, layer[B], scores);  // (hidden, image_tokens)
            ggml_mul_mat_set_prec(delta, GGML_PREC_F32);
            x                  = ggml_acc_inplace(ctx, x, delta, x->nb[1], x->nb[2], x->nb[3], offset);
        }
        return x;
    }

protected:
    size_t slot_tensors() const override { return layout.layers() * 3; }

    size_t slot_bytes(int64_t tokens) const override {
        return layout.layers() * (2 * ggml_row_size(layout.type, layout.hidden * layout.rows()) + 4 * layout.rows() + 1024);
    }

    // All identities have the layout's number of tokens.
    Slot new_slot(ggml_context* ctx, int64_t tokens) const override {
        Slot made;
        for (size_t i = 0; i < layout.layers(); i++) {
            made.push_back({named_matrix(ggml_new_tensor_2d(ctx, layout.type, layout.hidden, layout.rows())),
                            ggml_new_tensor_1d(ctx, GGML_TYPE_F32, layout.rows()),
                            named_matrix(ggml_new_tensor_2d(ctx, layout.type, layout.rows(), layout.hidden))});
        }
        return made;
    }

private:
    enum Part { A, BIAS, B };

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

    FluxIdentityLayout layout;
    std::vector<ggml_tensor*> regions;  // of active_uses, in the graph that is being built
    int64_t image_tokens = 0;
};

}  // namespace pulid
