// Flux's own noise schedule, the scheduler "flux".
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "pulid_guard.hpp"

namespace pulid {

// Noise levels t = 1 - i/steps. Models with a guidance input (dev) begin with small steps, the more
// so the larger the picture: their levels are moved by mu.
// Source: black-forest-labs/flux, src/flux/sampling.py, get_schedule and time_shift.
struct FluxSchedule {
    bool is_flux   = false;
    bool is_moved  = false;
    float asked_mu = INFINITY;  // finite: in the place of the model's own

    // `latent_pixels`: of the picture; an image token is 2x2 of them.
    double mu(int latent_pixels) const {
        if (!is_flux) {
            fail("the scheduler flux is for Flux models");
        }
        if (std::isfinite(asked_mu)) {
            return asked_mu;
        }
        const double slope = (1.15 - 0.5) / (4096 - 256);
        return is_moved ? 0.5 + slope * (latent_pixels / 4 - 256) : 0.0;
    }

    std::vector<float> sigmas(uint32_t steps, int latent_pixels) const {
        const double moved_by = std::exp(-mu(latent_pixels));
        std::vector<float> levels;
        for (uint32_t i = 0; i < steps; i++) {
            const double t = 1.0 - static_cast<double>(i) / steps;
            levels.push_back(static_cast<float>(1.0 / (1.0 + moved_by * (1.0 / t - 1.0))));
        }
        levels.push_back(0.f);
        return levels;
    }
};

// `model`: a FluxModel, or null for another. Fill, Control and Flex.2 are Flux with more input
// channels; Chroma and Ovis, which run with the same code, are not.
template <typename Model>
FluxSchedule flux_schedule_of(SDVersion version, const std::shared_ptr<Model>& model) {
    FluxSchedule schedule;
    schedule.is_flux = model != nullptr && !model->flux.flux_params.is_chroma &&
                       (version == VERSION_FLUX || version == VERSION_FLUX_FILL ||
                        version == VERSION_FLUX_CONTROLS || version == VERSION_FLEX_2);
    schedule.is_moved = schedule.is_flux && model->flux.flux_params.guidance_embed;
    return schedule;
}

}  // namespace pulid
