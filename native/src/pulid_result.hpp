// Numbers that are none are refused before they become a picture.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "pulid_guard.hpp"
#include "tensor.hpp"

namespace pulid {

// Fails where a number is NaN or infinity. pulid_sdcpp/engine/stable_diffusion.py knows the message by its first
// words: the engine itself is as good as before.
inline void check_finite(const sd::Tensor<float>& tensor, const std::string& where) {
    for (const float value : tensor.values()) {
        uint32_t bits;  // not std::isfinite, which fast-math takes for true
        std::memcpy(&bits, &value, sizeof(bits));
        if ((bits & 0x7f800000u) == 0x7f800000u) {
            fail("the picture came out as NaN or infinity " + where);
        }
    }
}

// `step`: counted from 1; negative in the first evaluation of two that make a step.
inline void check_step(const sd::Tensor<float>& denoised, int step, size_t steps) {
    check_finite(denoised, "at step " + std::to_string(std::abs(step)) + " of " + std::to_string(steps));
}

// `embeds`, `latents`: the engine's ImageGenerationEmbeds and ImageGenerationLatents.
template <typename Embeds, typename Latents>
void check_inputs(const Embeds& embeds, const Latents& latents) {
    for (const auto* text : {&embeds.cond, &embeds.uncond}) {
        check_finite(text->c_crossattn, "in the text encoders");
        check_finite(text->c_vector, "in the text encoders");
    }
    check_finite(latents.init_latent, "in the picture to start from");
    for (const auto& reference : latents.ref_latents) {
        check_finite(reference, "in a reference picture");
    }
}

}  // namespace pulid
