// Weights that are stored as small numbers beside a factor for the whole matrix: "scaled fp8", as
// ComfyUI writes it. NAME.scale_weight (newer files: NAME.weight_scale) is the factor of
// NAME.weight. NAME.scale_input and NAME.input_scale are of activations, for processors that
// multiply in fp8: the exact result does without them.

#ifndef PULID_SCALES_HPP
#define PULID_SCALES_HPP

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "ggml.h"
#include "model_io/tensor_storage.h"

uint16_t f8_e4m3_to_f16(uint8_t f8);
uint16_t f8_e5m2_to_f16(uint8_t fp8);

namespace pulid {

// NAME of a tensor called NAME + suffix; empty for other tensors.
inline std::string scale_owner(const std::string& name, const std::vector<std::string>& suffixes) {
    for (const std::string& suffix : suffixes) {
        if (name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
            return name.substr(0, name.size() - suffix.size());
        }
    }
    return "";
}

inline bool is_scale_marker(const std::string& name) {
    return name == "scaled_fp8" || !scale_owner(name, {".scaled_fp8"}).empty();
}

inline bool can_be_scaled(const TensorStorage& tensor) {
    const bool is_float = tensor.type == GGML_TYPE_F16 || tensor.type == GGML_TYPE_BF16 || tensor.type == GGML_TYPE_F32;
    return is_float && !tensor.is_f64;
}

inline float read_scale(const std::string& file_path, const TensorStorage& tensor) {
    if (tensor.nelements() != 1 || !can_be_scaled(tensor) || tensor.is_f8_e4m3 || tensor.is_f8_e5m2) {
        throw std::runtime_error("'" + file_path + "': '" + tensor.name + "' is not one number");
    }
    uint32_t bits = 0;
    std::ifstream file(file_path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(tensor.offset));
    file.read(reinterpret_cast<char*>(&bits), static_cast<std::streamsize>(tensor.nbytes()));
    if (!file) {
        throw std::runtime_error("'" + file_path + "': cannot read '" + tensor.name + "'");
    }
    if (tensor.type == GGML_TYPE_F16) {
        return ggml_fp16_to_fp32(static_cast<ggml_fp16_t>(bits));
    }
    if (tensor.type == GGML_TYPE_BF16) {
        bits <<= 16;
    }
    float scale;
    std::memcpy(&scale, &bits, sizeof(scale));
    return scale;
}

// Gives each weight of a file its factor, and takes the factors off the list: before names are
// converted, because a factor's name would not follow its weight's.
inline void attach_scales(const std::string& file_path, std::vector<TensorStorage>& tensors) {
    static const std::vector<std::string> of_weights     = {".scale_weight", ".weight_scale"};
    static const std::vector<std::string> of_activations = {".scale_input", ".input_scale"};

    std::unordered_map<std::string, TensorStorage*> by_name;
    std::vector<TensorStorage> scales;
    for (TensorStorage& tensor : tensors) {
        by_name[tensor.name] = &tensor;
        if (!scale_owner(tensor.name, of_weights).empty()) {
            scales.push_back(tensor);
        }
    }
    for (const TensorStorage& tensor : scales) {
        auto weight = by_name.find(scale_owner(tensor.name, of_weights) + ".weight");
        if (weight == by_name.end()) {
            throw std::runtime_error("'" + file_path + "': '" + tensor.name + "' has no weight");
        }
        const float scale = read_scale(file_path, tensor);
        if (!std::isfinite(scale) || scale <= 0.f) {
            throw std::runtime_error("'" + file_path + "': '" + tensor.name + "' is not a positive number");
        }
        if (!can_be_scaled(*weight->second) || weight->second->nelements() == 0 || weight->second->scale != 1.f) {
            throw std::runtime_error("'" + file_path + "': '" + weight->first + "' cannot have a scale, or has two");
        }
        weight->second->scale = scale;
    }
    auto is_left_out = [&](const TensorStorage& tensor) {
        if (!scale_owner(tensor.name, of_weights).empty() || is_scale_marker(tensor.name)) {
            return true;
        }
        const std::string owner = scale_owner(tensor.name, of_activations);
        return !owner.empty() && by_name.count(owner + ".weight") != 0;
    };
    // Not in one go: the map points into the list.
    std::vector<TensorStorage> kept;
    for (const TensorStorage& tensor : tensors) {
        if (!is_left_out(tensor)) {
            kept.push_back(tensor);
        }
    }
    tensors = std::move(kept);
}

inline void read_floats(const TensorStorage& tensor, const char* source, float* values, int64_t count) {
    if (tensor.is_f8_e4m3 || tensor.is_f8_e5m2) {
        float meaning[256];
        for (int code = 0; code < 256; code++) {
            const uint8_t byte = static_cast<uint8_t>(code);
            meaning[code]      = ggml_fp16_to_fp32(tensor.is_f8_e4m3 ? f8_e4m3_to_f16(byte) : f8_e5m2_to_f16(byte));
        }
        for (int64_t i = 0; i < count; i++) {
            values[i] = meaning[static_cast<uint8_t>(source[i])];
        }
    } else if (tensor.type == GGML_TYPE_F32) {
        std::memcpy(values, source, count * sizeof(float));
    } else {
        ggml_get_type_traits(tensor.type)->to_float(source, values, count);
    }
}

// Multiplies in float32 and rounds once, to the type that is wanted. `source`: as in the file.
inline void write_scaled(const TensorStorage& tensor, const char* source, char* target, ggml_type type) {
    const int64_t width      = tensor.ne[0];
    const int64_t rows       = tensor.nelements() / width;
    const int64_t rows_once  = std::max<int64_t>(1, (1 << 18) / width);
    const size_t source_row  = tensor.nbytes_to_read() / rows;
    const size_t target_row  = ggml_row_size(type, width);
    std::vector<float> values(std::min(rows, rows_once) * width);
    const std::vector<float> importance(width, 1.0f);
    for (int64_t row = 0; row < rows; row += rows_once) {
        const int64_t n_rows = std::min(rows_once, rows - row);
        const int64_t count  = n_rows * width;
        read_floats(tensor, source + row * source_row, values.data(), count);
        bool fits = true;
        for (int64_t i = 0; i < count; i++) {
            values[i] *= tensor.scale;
            fits = fits && !(std::fabs(values[i]) > 65504.f);
        }
        char* place = target + row * target_row;
        if (type == GGML_TYPE_F32) {
            std::memcpy(place, values.data(), count * sizeof(float));
        } else if (type == GGML_TYPE_F16) {
            if (!fits) {
                throw std::runtime_error("'" + tensor.name + "' times its scale is too large for f16; name another type");
            }
            ggml_fp32_to_fp16_row(values.data(), reinterpret_cast<ggml_fp16_t*>(place), count);
        } else {
            ggml_quantize_chunk(type, values.data(), place, 0, n_rows, width, importance.data());
        }
    }
}

}  // namespace pulid

#endif  // PULID_SCALES_HPP
