// Identity attention in SDXL's UNet: a second pair of keys and values beside the text's, for the same
// queries, in each cross-attention that the adapter has weights for.
//
// The keys and values of an identity stay the same while a picture is made, so Python computes them once
// (pulid_sdcpp/families/sdxl/folding.py) and the engine keeps, per layer,
//   k (64, rows, heads), v (rows, 64, heads)      rows: the identity's tokens, a row of zeros or more
// With T picture tokens, q the queries and h the text's attention before `to_out`, both (channels, T),
//   P = softmax(k . q / 8 + bias),  z = P . v      bias: 0 for a token; ln(zeros) for the first row after
//                                                  them, which is all zero tokens in one; else -inf
//   none:      h += weight * z
//   ortho:     h += weight * (z - g h)              g = sum_t h z / sum_t h h, one number per channel
//   ortho_v2:  h += weight * (z + (m - 1) g h)      m = what softmax(k . q + bias) gives the first five
//                                                  tokens, mean over the heads, one number per picture token
// In a region r of the picture, weight becomes weight * r, and both sums of g are weighted by r. Several
// people are added to each other and then to h, so that the order of two does not matter.
// Source: ToTheBeginning/PuLID, pulid/attention_processor.py, IDAttnProcessor2_0.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pulid_identity_slots.hpp"

namespace pulid {

struct UnetIdentityLayout {
    ggml_type type = GGML_TYPE_F16;
    std::vector<int64_t> channels;  // per layer
    // The full name of an attention, with a dot behind -> layer. By name: the adapter's order is down, up,
    // middle, and that of the computation is down, middle, up.
    std::map<std::string, int> layer_of_attention;
};

struct UnetIdentityRunner : public IdentityRunner {
    using IdentityRunner::IdentityRunner;

    static constexpr int64_t HEAD_WIDTH  = 64;
    static constexpr int64_t FIRST_TOKENS = 5;  // that ORTHO_v2 looks at

    // Rows of an identity's keys: at least one more than tokens, for the zero tokens.
    static int64_t rows_for(int64_t tokens) { return 8 * ((tokens + 1 + 7) / 8); }

    void set_identity_layout(UnetIdentityLayout new_layout) {
        if (!slots.empty()) {
            fail("the identity layout is set once, before the first identity");
        }
        layout = std::move(new_layout);
    }

    // A graph is about to be built, whose inputs are its own.
    void begin_graph() {
        inputs.clear();
        inputs.resize(active_uses.size());
    }

    // Room for what add_identity adds, up to 40 nodes for a person and 10 for all.
    ggml_cgraph* new_graph_custom(size_t size) {
        return GGMLRunner::new_graph_custom(size + layout.channels.size() * (40 * active_uses.size() + 10));
    }

    // q: the queries, h: what the text's attention gives, both (channels, T, 1); `name`: of the attention.
    ggml_tensor* add_identity(ggml_context* ctx, ggml_tensor* q, ggml_tensor* h, const std::string& name) {
        auto found = layout.layer_of_attention.find(name);
        if (active_uses.empty() || found == layout.layer_of_attention.end()) {
            return h;
        }
        if (q->ne[2] != 1) {
            fail("an identity goes into one picture at a time");
        }
        const int64_t channels = q->ne[0], T = q->ne[1], heads = channels / HEAD_WIDTH;
        ggml_tensor* queries = ggml_reshape_3d(ctx, q, HEAD_WIDTH, heads, T);
        queries              = ggml_cont(ctx, ggml_permute(ctx, queries, 0, 2, 1, 3));  // (64, T, heads)
        ggml_tensor* whole   = nullptr;  // sum_t h h over all of the picture
        ggml_tensor* added   = nullptr;
        for (size_t i = 0; i < active_uses.size(); i++) {
            const IdentityUse& use = active_uses[i];
            const Layer& layer     = slots[use.slot][found->second];
            ggml_tensor* region    = region_input(i, T);
            ggml_tensor* raw       = ggml_mul_mat(ctx, layer[K], queries);  // (rows, T, heads)
            ggml_mul_mat_set_prec(raw, GGML_PREC_F32);
            ggml_tensor* z = softmax(ctx, ggml_scale(ctx, raw, 1.f / std::sqrt(static_cast<float>(HEAD_WIDTH))), i);
            z              = ggml_mul_mat(ctx, layer[V], z);  // (64, T, heads)
            ggml_mul_mat_set_prec(z, GGML_PREC_F32);
            z = ggml_cont(ctx, ggml_permute(ctx, z, 0, 2, 1, 3));
            z = ggml_reshape_2d(ctx, z, channels, T);
            if (use.projection != Projection::none && region != nullptr) {
                ggml_tensor* inside = ggml_mul(ctx, h, region);
                z                   = projected(ctx, z, h, inside, sum_over_tokens(ctx, ggml_mul(ctx, inside, h)), raw, i);
            } else if (use.projection != Projection::none) {
                whole = whole != nullptr ? whole : sum_over_tokens(ctx, ggml_mul(ctx, h, h));
                z     = projected(ctx, z, h, h, whole, raw, i);
            }
            z     = region != nullptr ? ggml_mul(ctx, z, region) : z;
            z     = use.weight != 1.f ? ggml_scale(ctx, z, use.weight) : z;
            added = added != nullptr ? ggml_add(ctx, added, z) : z;
        }
        return ggml_add(ctx, h, added);
    }

protected:
    size_t slot_tensors() const override { return layout.channels.size() * 2; }

    size_t slot_bytes(int64_t tokens) const override {
        size_t bytes = 0;
        for (int64_t channels : layout.channels) {
            bytes += 2 * ggml_row_size(layout.type, channels * rows_for(tokens)) + 256;
        }
        return bytes;
    }

    Slot new_slot(ggml_context* ctx, int64_t tokens) const override {
        const int64_t rows = rows_for(tokens);
        Slot made;
        for (int64_t channels : layout.channels) {
            const int64_t heads = channels / HEAD_WIDTH;
            made.push_back({ggml_new_tensor_3d(ctx, layout.type, HEAD_WIDTH, rows, heads),
                            ggml_new_tensor_3d(ctx, layout.type, rows, HEAD_WIDTH, heads)});
        }
        return made;
    }

    void check_use(const IdentityUse& use, const Slot& slot) const override {
        if (use.tokens < 1 || slot.front()[K]->ne[1] != rows_for(use.tokens) || use.zeros < 0) {
            fail("an identity of " + std::to_string(use.tokens) + " tokens in a place for another number");
        }
    }

private:
    enum Part { K, V };

    // Of one use, in the graph that is being built. Their numbers stay until it is computed.
    struct Inputs {
        std::vector<float> bias_values, first_values;
        ggml_tensor* bias  = nullptr;
        ggml_tensor* first = nullptr;
        std::map<int64_t, ggml_tensor*> regions;  // by their number of picture tokens
    };

    // z without its part along h: all of it, or as much as a picture token has no eyes for the first tokens.
    // `inside`: h, weighted by the region; `own`: sum_t inside h.
    ggml_tensor* projected(ggml_context* ctx, ggml_tensor* z, ggml_tensor* h, ggml_tensor* inside, ggml_tensor* own, ggml_tensor* raw, size_t index) {
        own            = ggml_scale_bias(ctx, own, 1.f, 1e-20f);  // an empty region has none, and gets none
        ggml_tensor* g = ggml_div(ctx, sum_over_tokens(ctx, ggml_mul(ctx, inside, z)), own);  // (1, channels)
        ggml_tensor* p = ggml_mul(ctx, h, ggml_reshape_1d(ctx, g, h->ne[0]));
        if (active_uses[index].projection == Projection::ortho) {
            return ggml_sub(ctx, z, p);
        }
        const int64_t T = raw->ne[1], heads = raw->ne[2];
        ggml_tensor* seen = ggml_mul_mat(ctx, first_input(index), softmax(ctx, raw, index));  // (1, T, heads)
        ggml_mul_mat_set_prec(seen, GGML_PREC_F32);
        seen = ggml_reshape_2d(ctx, seen, T, heads);
        seen = ggml_sum_rows(ctx, ggml_cont(ctx, ggml_transpose(ctx, seen)));  // (1, T)
        seen = ggml_scale_bias(ctx, seen, 1.f / heads, -1.f);
        return ggml_add(ctx, z, ggml_mul(ctx, p, seen));
    }

    // (channels, T) -> (1, channels)
    static ggml_tensor* sum_over_tokens(ggml_context* ctx, ggml_tensor* x) {
        x = ggml_reshape_2d(ctx, x, x->ne[0], x->ne[1]);
        return ggml_sum_rows(ctx, ggml_cont(ctx, ggml_transpose(ctx, x)));
    }

    ggml_tensor* softmax(ggml_context* ctx, ggml_tensor* scores, size_t index) {
        Inputs& input = inputs[index];
        if (input.bias == nullptr) {
            const IdentityUse& use = active_uses[index];
            input.bias_values.assign(rows_for(use.tokens), -INFINITY);
            std::fill_n(input.bias_values.begin(), use.tokens, 0.f);
            input.bias_values[use.tokens] = std::log(static_cast<float>(use.zeros));  // -inf for none
            input.bias                    = new_input(input.bias_values, rows_for(use.tokens));
        }
        return ggml_soft_max(ctx, ggml_add(ctx, scores, input.bias));
    }

    // One for each of the first tokens; of an identity with fewer, the zero tokens among them count, too.
    ggml_tensor* first_input(size_t index) {
        Inputs& input = inputs[index];
        if (input.first == nullptr) {
            const IdentityUse& use = active_uses[index];
            const int64_t own      = std::min<int64_t>(use.tokens, FIRST_TOKENS);
            input.first_values.assign(rows_for(use.tokens), 0.f);
            std::fill_n(input.first_values.begin(), own, 1.f);
            if (use.zeros > 0) {
                input.first_values[use.tokens] = std::min<float>(FIRST_TOKENS - own, use.zeros) / use.zeros;
            }
            input.first = new_input(input.first_values, rows_for(use.tokens));
        }
        return input.first;
    }

    // (1, T), that on the grid of T picture tokens; null: all of the picture.
    ggml_tensor* region_input(size_t index, int64_t T) {
        const IdentityUse& use = active_uses[index];
        if (use.region.empty()) {
            return nullptr;
        }
        ggml_tensor*& input = inputs[index].regions[T];
        if (input == nullptr) {
            const auto& region = static_cast<int64_t>(use.region.size()) == T ? use.region : use.region_coarse;
            if (static_cast<int64_t>(region.size()) != T) {
                fail("the region of a person was made for a picture of another size");
            }
            input = new_input(region, 1, T);
        }
        return input;
    }

    ggml_tensor* new_input(const std::vector<float>& values, int64_t width, int64_t height = 1) {
        ggml_tensor* input = ggml_new_tensor_2d(compute_ctx, GGML_TYPE_F32, width, height);
        set_backend_tensor_data(input, values.data());
        return input;
    }

    UnetIdentityLayout layout;
    std::vector<Inputs> inputs;  // of active_uses
};

}  // namespace pulid
