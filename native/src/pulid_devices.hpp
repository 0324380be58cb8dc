// Compute devices: where each module of a model runs.
#pragma once

#include <string>

namespace pulid {

// Device names as ggml gives them ("CUDA0", "Vulkan1", "CPU"); empty: the engine's own choice.
struct Placement {
    std::string diffusion;
    std::string clip;
    std::string vae;
    std::string upscaler;
};

// Read by the next context, of a model or an upscaler, that is created on this thread.
inline thread_local Placement placement;

inline ggml_backend_t init_device(const std::string& name) {
    ggml_backend_t backend = init_named_backend(name);
    if (backend == nullptr) {
        fail("device " + name + " could not be initialised");
    }
    return backend;
}

inline ggml_backend_t diffusion_backend() {
    return placement.diffusion.empty() ? sd_get_default_backend() : init_device(placement.diffusion);
}

inline ggml_backend_t upscaler_backend() {
    return placement.upscaler.empty() ? sd_get_default_backend() : init_device(placement.upscaler);
}

inline std::string device_name(ggml_backend_t backend) {
    return ggml_backend_dev_name(ggml_backend_get_device(backend));
}

// The backend of a module beside the diffusion model: shared with it where both are on one device.
inline ggml_backend_t module_backend(const std::string& name, ggml_backend_t diffusion) {
    if (name.empty() || name == device_name(diffusion)) {
        return diffusion;
    }
    return init_device(name);
}

}  // namespace pulid
