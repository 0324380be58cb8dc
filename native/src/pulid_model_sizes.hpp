// The sizes of a UNet and of a CLIP text model as their files have them: the engine knows those of the
// published models only, and finds any other out when a tensor does not fit. For a published model
// nothing changes.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "model.h"
#include "pulid_guard.hpp"

namespace pulid {

// How many layers are named "<prefix>0.", "<prefix>1.", ...: 1 + the last number, so that a missing
// one in between is missed when the file is read. `most`: no model has more.
inline int count_layers(const String2TensorStorage& tensors, const std::string& prefix, int most) {
    int count = 0;
    for (const auto& [name, tensor] : tensors) {
        const size_t end = name.compare(0, prefix.size(), prefix) == 0 ? name.find('.', prefix.size()) : std::string::npos;
        if (end == std::string::npos || end == prefix.size() || end > prefix.size() + 6) {
            continue;
        }
        const std::string number = name.substr(prefix.size(), end - prefix.size());
        if (std::all_of(number.begin(), number.end(), [](char digit) { return digit >= '0' && digit <= '9'; })) {
            count = std::max(count, 1 + std::stoi(number));
        }
    }
    if (count > most) {
        fail("a model with " + std::to_string(count) + " layers " + prefix + "*: at most " + std::to_string(most) + " are possible");
    }
    return count;
}

// Of the UNet that all of SDXL has, and of a ControlNet beside it. The arguments are the published ones
// before; `depths`: transformer blocks by level. What is no UNet's size stays, and is missed later.
inline void read_unet_sizes(const String2TensorStorage& tensors, SDVersion version, int& channels, int& time_width, std::vector<int>& depths) {
    if (version != VERSION_SDXL && version != VERSION_SDXL_INPAINT && version != VERSION_SDXL_PIX2PIX) {
        return;
    }
    const std::string prefix = "model.diffusion_model.";
    const auto first         = tensors.find(prefix + "input_blocks.0.0.weight");
    const auto time          = tensors.find(prefix + "time_embed.0.weight");
    if (first != tensors.end() && first->second.ne[3] >= 32 && first->second.ne[3] <= 4096 && first->second.ne[3] % 32 == 0) {
        channels = static_cast<int>(first->second.ne[3]);
    }
    if (time != tensors.end() && time->second.ne[1] >= 1 && time->second.ne[1] <= 65536) {
        time_width = static_cast<int>(time->second.ne[1]);
    }
    for (auto [level, block] : {std::pair{1, "4"}, std::pair{2, "7"}}) {  // the first with attention of a level
        const int count = count_layers(tensors, prefix + "input_blocks." + block + ".1.transformer_blocks.", 100);
        depths[level]   = count > 0 ? count : depths[level];
    }
}

// Of a CLIP text model whose published form has `published`. A file that has one or two less than that is
// damaged or was cut, and which layer its text comes from is not what the engine counts: such a one is
// refused as ever. One of half that or fewer is a model of its own.
inline int clip_layers(const String2TensorStorage& tensors, const std::string& prefix, int published) {
    const int found = count_layers(tensors, prefix + ".encoder.layers.", 1000);
    return found > 0 && found <= published / 2 ? found : published;
}

}  // namespace pulid
