// The sampler "dpm++sde".
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace pulid {

// From one noise level to a lower one: keep * x + toward * denoised + noise * (normal numbers).
struct SdeMove {
    float keep;
    float toward;
    float noise;
};

// How much of the picture is in a latent of this noise level.
inline double picture_share(double sigma, bool is_flow) {
    return is_flow ? std::max(0.0, 1.0 - sigma) : 1.0;
}

// k-diffusion's ancestral step and first-order step, of latents divided by their picture's share.
// Written without the logarithms of the source, it also begins at a flow model's level of 1.
inline SdeMove sde_move(double from, double to, double eta, bool is_flow) {
    const double share_from = picture_share(from, is_flow);
    const double share_to   = picture_share(to, is_flow);
    double added            = 0;
    if (to < from && share_to > 0) {
        const double ratio = to * share_from / (share_to * from);
        added              = to * std::min(1.0, eta * std::sqrt(std::max(0.0, 1 - ratio * ratio)));
    }
    const double kept = std::sqrt(std::max(0.0, to * to - added * added)) / from;
    return {static_cast<float>(kept), static_cast<float>(share_to - kept * share_from), static_cast<float>(added)};
}

// The level at which a step is evaluated a second time: half-way in the logarithm of the ratio of
// picture to noise.
inline float sde_middle(double from, double to, bool is_flow) {
    if (!is_flow) {
        return static_cast<float>(std::sqrt(from * to));
    }
    if (from >= 1) {  // half-way from nothing is nothing
        return static_cast<float>(from);
    }
    return static_cast<float>(1 / (1 + std::sqrt((1 - from) / from * ((1 - to) / to))));
}

// DPM-Solver++ as a stochastic equation, two evaluations a step but the last; r = 1/2.
// Source: crowsonkb/k-diffusion, sampling.py, sample_dpmpp_sde and BrownianTreeNoiseSampler; of flow
// models: ComfyUI, comfy/k_diffusion/sampling.py.
//
// Both noises of a step are increments of one Brownian path, whose time is the noise level: that to
// the middle is a part of that of the whole step.
//
// denoise(x, sigma, step): the picture seen in x; empty: stop. step counts from 1, and is negative in
// the first evaluation of two. normal(): normal numbers in the shape of x.
template <typename Tensor, typename Denoise, typename Normal>
Tensor sample_dpmpp_sde(Denoise denoise, Tensor x, const std::vector<float>& sigmas, Normal normal, float eta, bool is_flow) {
    for (int i = 0; i + 1 < static_cast<int>(sigmas.size()); i++) {
        const float from    = sigmas[i];
        const float to      = sigmas[i + 1];
        const float middle  = to > 0 ? sde_middle(from, to, is_flow) : from;
        const bool is_twice = middle < from;

        Tensor denoised = denoise(x, from, is_twice ? -(i + 1) : i + 1);
        if (denoised.empty()) {
            return {};
        }
        if (to <= 0) {
            x = std::move(denoised);
            continue;
        }
        const SdeMove whole = sde_move(from, to, eta, is_flow);
        const SdeMove half  = sde_move(from, middle, eta, is_flow);
        Tensor to_middle;
        if (is_twice) {
            Tensor inside = half.keep * x + half.toward * denoised;
            if (half.noise > 0) {
                to_middle = normal();
                inside += to_middle * half.noise;
            }
            denoised = denoise(inside, middle, i + 1);
            if (denoised.empty()) {
                return {};
            }
        }
        x = whole.keep * x + whole.toward * denoised;
        if (whole.noise > 0) {
            Tensor noise = normal();
            if (!to_middle.empty()) {
                const float share = (from - middle) / (from - to);
                noise             = to_middle * std::sqrt(share) + noise * std::sqrt(1 - share);
            }
            x += noise * whole.noise;
        }
    }
    return x;
}

}  // namespace pulid
