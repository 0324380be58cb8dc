// Implements pulid_api.h, and the guarded forms of the engine's own functions that can fail.
// Included at the end of stable-diffusion.cpp, because the classes it needs are defined there.

#include "pulid_api.h"

#include <mutex>

namespace pulid {

static thread_local std::string last_error;
static thread_local bool last_was_cancelled = false;

// Runs `call`; an exception becomes `failed`, with last_error set.
template <typename Result, typename Call>
static Result guarded(Result failed, Call call) {
    struct Scope {
        Scope() { guard_depth++; }
        ~Scope() { guard_depth--; }
    } scope;
    last_error.clear();
    last_was_cancelled = false;
    try {
        return call();
    } catch (const Cancelled& cancelled) {
        last_was_cancelled = true;
        last_error         = cancelled.what();
    } catch (const std::bad_alloc&) {
        last_error = "out of memory";
    } catch (const std::exception& error) {
        last_error = error.what();
    } catch (...) {
        last_error = "unknown failure in the engine";
    }
    return failed;
}

// What works with a loaded model: it can be cancelled, and a failure leaves nothing of it behind.
// An evaluation that fails releases what is its own (GGMLRunner::compute); between two of them
// these hold buffers, and parameters on the device.
template <typename Result, typename Call>
static Result guarded_with(sd_ctx_t* ctx, Result failed, Call call) {
    cancel_flag = &ctx->sd->cancelled;
    AtEnd forget_flag([] { cancel_flag = nullptr; });
    return guarded(failed, [&] {
        AtEnd release([&] {
            for (const auto& model : {ctx->sd->diffusion_model, ctx->sd->high_noise_diffusion_model}) {
                if (model != nullptr) {
                    model->free_compute_buffer();
                }
            }
            for (const auto& model : {ctx->sd->first_stage_model, ctx->sd->preview_vae}) {
                if (model != nullptr) {
                    model->free_compute_buffer();
                }
            }
            if (ctx->sd->control_net != nullptr) {
                ctx->sd->control_net->free_control_ctx();
                ctx->sd->control_net->free_compute_buffer();
            }
        });
        Result result  = call();
        release.wanted = !result;
        return result;
    });
}

static void check_loading_cancelled() {
    if (loading_cancelled) {
        throw Cancelled();
    }
}

static IdentityRunner& identity_runner(const sd_ctx_t* ctx) {
    IdentityRunner* runner = ctx == nullptr ? nullptr : ctx->sd->diffusion_model->identities();
    if (runner == nullptr) {
        fail("PuLID needs a diffusion model of Flux.1 or SDXL");
    }
    return *runner;
}

static FluxIdentityRunner& flux_identity_runner(const sd_ctx_t* ctx) {
    auto model = ctx == nullptr ? nullptr : std::dynamic_pointer_cast<FluxModel>(ctx->sd->diffusion_model);
    if (model == nullptr || model->flux.flux_params.is_chroma || !sd_version_is_flux(ctx->sd->version)) {
        fail("this PuLID needs a Flux.1 diffusion model");
    }
    return model->flux;
}

static UNetModelRunner& unet_identity_runner(const sd_ctx_t* ctx) {
    auto model         = ctx == nullptr ? nullptr : std::dynamic_pointer_cast<UNetModel>(ctx->sd->diffusion_model);
    const auto version = model == nullptr ? VERSION_COUNT : ctx->sd->version;
    if (version != VERSION_SDXL && version != VERSION_SDXL_INPAINT && version != VERSION_SDXL_PIX2PIX) {
        fail("this PuLID needs an SDXL diffusion model; SD 1, SD 2, SSD-1B and Vega have other layers");
    }
    return model->unet;
}

// What generate_image() returned and nobody freed yet: array -> number of images.
static std::mutex images_mutex;
static std::map<sd_image_t*, int> live_images;

}  // namespace pulid

int32_t pulid_api_version(void) {
    return PULID_API_VERSION;
}

void pulid_init(const char* library_folder) {
    ggml_log_set(pulid::forward_ggml_log, nullptr);
    ggml_set_abort_callback(pulid::on_ggml_abort);
#ifdef GGML_BACKEND_DL
    ggml_backend_load_all_from_path(library_folder);
#endif
}

const char* pulid_last_error(void) {
    return pulid::last_error.c_str();
}

bool pulid_was_cancelled(void) {
    return pulid::last_was_cancelled;
}

int32_t pulid_device_count(void) {
    return pulid::guarded<int32_t>(-1, [] {
        ggml_backend_load_all_once();
        return static_cast<int32_t>(ggml_backend_dev_count());
    });
}

bool pulid_get_device(int32_t index, pulid_device_t* device) {
    return pulid::guarded(false, [&] {
        ggml_backend_dev_t found = ggml_backend_dev_get(index);
        size_t free_bytes = 0, total_bytes = 0;
        ggml_backend_dev_memory(found, &free_bytes, &total_bytes);
        *device = {ggml_backend_dev_name(found), ggml_backend_dev_description(found),
                   static_cast<int32_t>(ggml_backend_dev_type(found)), free_bytes, total_bytes};
        return true;
    });
}

void pulid_set_placement(const char* diffusion, const char* clip, const char* vae, const char* upscaler) {
    pulid::placement = {SAFE_STR(diffusion), SAFE_STR(clip), SAFE_STR(vae), SAFE_STR(upscaler)};
}

void pulid_set_repack(bool wanted) {
    pulid::repack_wanted = wanted;
}

void pulid_set_stage_callback(pulid_stage_callback_t callback, void* data) {
    pulid::stage_callback      = callback;
    pulid::stage_callback_data = data;
}

void pulid_set_cancelled(sd_ctx_t* ctx, bool cancelled) {
    pulid::guarded(false, [&] { return ctx->sd->cancelled = cancelled; });
}

void pulid_set_loading_cancelled(bool cancelled) {
    pulid::loading_cancelled = cancelled;
}

bool pulid_set_layout(sd_ctx_t* ctx, const pulid_layout_t* layout) {
    return pulid::guarded(false, [&] {
        pulid::FluxIdentityLayout result;
        result.hidden = layout->hidden;
        result.heads  = layout->heads;
        result.tokens = layout->tokens;
        result.type   = static_cast<ggml_type>(layout->type);
        for (int i = 0; i < layout->n_layers; i++) {
            result.layer_after_block[{layout->is_single[i] != 0, layout->block[i]}] = i;
        }
        pulid::flux_identity_runner(ctx).set_identity_layout(std::move(result));
        return true;
    });
}

bool pulid_set_unet_layout(sd_ctx_t* ctx, const pulid_unet_layout_t* layout) {
    return pulid::guarded(false, [&] {
        auto& runner             = pulid::unet_identity_runner(ctx);
        const std::string prefix = "model.diffusion_model";
        std::map<std::string, ggml_tensor*> tensors;
        runner.get_param_tensors(tensors, prefix);
        pulid::UnetIdentityLayout result;
        result.type = static_cast<ggml_type>(layout->type);
        for (int i = 0; i < layout->n_layers; i++) {
            const std::string name = prefix + "." + layout->names[i] + ".";
            const int64_t channels = layout->channels[i];
            auto queries           = tensors.find(name + "to_q.weight");
            if (queries == tensors.end() || queries->second->ne[1] != channels || channels % runner.HEAD_WIDTH != 0) {
                pulid::fail("the UNet has no attention " + std::string(layout->names[i]) + " of width " + std::to_string(channels));
            }
            result.channels.push_back(channels);
            result.layer_of_attention[name] = i;
        }
        runner.set_identity_layout(std::move(result));
        return true;
    });
}

bool pulid_reserve_slots(sd_ctx_t* ctx, int32_t count, int32_t tokens) {
    return pulid::guarded(false, [&] {
        pulid::identity_runner(ctx).reserve_identity_slots(count, tokens);
        return true;
    });
}

bool pulid_write_layer(sd_ctx_t* ctx, int32_t slot, int32_t layer, const void* a, const float* bias, const void* b) {
    return pulid::guarded(false, [&] {
        pulid::identity_runner(ctx).write_identity_layer(slot, layer, {a, bias, b});
        return true;
    });
}

bool pulid_write_unet_layer(sd_ctx_t* ctx, int32_t slot, int32_t layer, const void* k, const void* v) {
    return pulid::guarded(false, [&] {
        pulid::identity_runner(ctx).write_identity_layer(slot, layer, {k, v});
        return true;
    });
}

int64_t pulid_unet_rows(int32_t tokens) {
    return pulid::UnetIdentityRunner::rows_for(tokens);
}

bool pulid_set_uses(sd_ctx_t* ctx, const pulid_use_t* uses, int32_t count, int32_t cfg_start_step, int32_t hires_cfg_start_step) {
    return pulid::guarded(false, [&] {
        std::vector<pulid::IdentityUse> result;
        for (int i = 0; i < count; i++) {
            const pulid_use_t& use = uses[i];
            auto region            = [](const float* values, int64_t size) {
                return std::vector<float>(values, values + (values != nullptr ? size : 0));
            };
            result.push_back({use.slot, use.weight, use.start_step, use.end_step, use.negative, use.second_pass,
                              region(use.region, use.region_size), region(use.region_coarse, use.region_coarse_size),
                              use.tokens, use.zeros, static_cast<pulid::Projection>(use.projection)});
        }
        if (!result.empty()) {
            pulid::identity_runner(ctx).set_identity_uses(std::move(result));
        } else if (pulid::IdentityRunner* runner = ctx->sd->diffusion_model->identities()) {
            runner->set_identity_uses({});
        }
        ctx->sd->cfg_start_step[0] = cfg_start_step;
        ctx->sd->cfg_start_step[1] = hires_cfg_start_step;
        ctx->sd->enter_pass(0);
        return true;
    });
}

bool pulid_evaluate(sd_ctx_t* ctx,
                    const float* x, int64_t width, int64_t height, int64_t channels,
                    float timestep,
                    const float* context, int64_t n_context, int64_t context_width,
                    const float* y, int64_t y_width,
                    float guidance, int32_t step, bool negative,
                    float* out) {
    return pulid::guarded_with(ctx, false, [&] {
        auto tensor = [](const float* data, std::vector<int64_t> shape) {
            int64_t size = 1;
            for (int64_t n : shape) {
                size *= n;
            }
            return sd::Tensor<float>(std::move(shape), std::vector<float>(data, data + size));
        };
        sd::Tensor<float> latent        = tensor(x, {width, height, channels, 1});
        sd::Tensor<float> timesteps     = tensor(&timestep, {1});
        sd::Tensor<float> text          = tensor(context, {context_width, n_context, 1});
        sd::Tensor<float> pooled        = tensor(y, {y_width});
        sd::Tensor<float> guidance_text = tensor(&guidance, {1});

        DiffusionParams params;
        params.x         = &latent;
        params.timesteps = &timesteps;
        params.context   = &text;
        params.y         = &pooled;
        params.guidance  = &guidance_text;
        params.step      = step;
        params.negative  = negative;

        auto result = ctx->sd->diffusion_model->compute(ctx->sd->n_threads, params);
        ctx->sd->diffusion_model->free_compute_buffer();
        if (result.empty()) {
            pulid::fail("the diffusion model could not be evaluated");
        }
        std::copy(result.values().begin(), result.values().end(), out);
        return true;
    });
}

uint64_t pulid_diffusion_params_bytes(const sd_ctx_t* ctx) {
    return ctx->sd->diffusion_model->get_params_buffer_size();
}

bool pulid_free_images(sd_image_t* images) {
    std::lock_guard<std::mutex> lock(pulid::images_mutex);
    auto found = pulid::live_images.find(images);
    if (found == pulid::live_images.end()) {
        return false;
    }
    for (int i = 0; i < found->second; i++) {
        free(images[i].data);
    }
    free(images);
    pulid::live_images.erase(found);
    return true;
}

sd_ctx_t* new_sd_ctx(const sd_ctx_params_t* params) {
    return pulid::guarded<sd_ctx_t*>(nullptr, [&]() -> sd_ctx_t* {
        auto engine = std::make_unique<StableDiffusionGGML>();
        if (!engine->init(params)) {
            pulid::check_loading_cancelled();
            pulid::fail("the model could not be loaded");
        }
        auto ctx = static_cast<sd_ctx_t*>(malloc(sizeof(sd_ctx_t)));
        if (ctx == nullptr) {
            throw std::bad_alloc();
        }
        ctx->sd = engine.release();
        return ctx;
    });
}

sd_image_t* generate_image(sd_ctx_t* ctx, const sd_img_gen_params_t* params) {
    if (ctx == nullptr || params == nullptr) {
        return nullptr;
    }
    sd_image_t* images = pulid::guarded_with<sd_image_t*>(ctx, nullptr, [&] { return generate_image_unguarded(ctx, params); });
    if (images == nullptr) {
        return nullptr;
    }
    std::lock_guard<std::mutex> lock(pulid::images_mutex);
    pulid::live_images[images] = params->batch_count;
    return images;
}

sd_image_t* generate_video(sd_ctx_t* ctx, const sd_vid_gen_params_t* params, int* frames) {
    return pulid::guarded_with<sd_image_t*>(ctx, nullptr, [&]() -> sd_image_t* {
        if (!sd_ctx_supports_video_generation(ctx)) {
            pulid::fail("this model makes no videos");
        }
        return generate_video_unguarded(ctx, params, frames);
    });
}

// In other files of the engine, under the names that patches/0003-guard.patch and CMake give them.
upscaler_ctx_t* new_upscaler_ctx_unguarded(const char* path, bool offload, bool direct, int n_threads, int tile_size);
sd_image_t upscale_unguarded(upscaler_ctx_t* ctx, sd_image_t image, uint32_t factor);
extern "C" bool convert_unguarded(const char*, const char*, const char*, sd_type_t, const char*, bool);

upscaler_ctx_t* new_upscaler_ctx(const char* path, bool offload, bool direct, int n_threads, int tile_size) {
    return pulid::guarded<upscaler_ctx_t*>(nullptr, [&] {
        return new_upscaler_ctx_unguarded(path, offload, direct, n_threads, tile_size);
    });
}

sd_image_t upscale(upscaler_ctx_t* ctx, sd_image_t image, uint32_t factor) {
    return pulid::guarded<sd_image_t>({}, [&] { return upscale_unguarded(ctx, image, factor); });
}

uint8_t* pulid_upscale(sd_ctx_t* ctx, upscaler_ctx_t* upscaler, const uint8_t* pixels, uint32_t width, uint32_t height) {
    pulid::cancel_flag = &ctx->sd->cancelled;
    pulid::AtEnd forget_flag([] { pulid::cancel_flag = nullptr; });
    pulid::enter_stage("upscale");
    return pulid::guarded<uint8_t*>(nullptr, [&] {
        const sd_image_t image = {width, height, 3, const_cast<uint8_t*>(pixels)};
        uint8_t* made          = upscale_unguarded(upscaler, image, get_upscale_factor(upscaler)).data;
        if (made == nullptr) {
            pulid::fail("the picture could not be enlarged");
        }
        return made;
    });
}

void pulid_free_pixels(uint8_t* pixels) {
    free(pixels);
}

bool convert(const char* input_path,
             const char* vae_path,
             const char* output_path,
             sd_type_t output_type,
             const char* tensor_type_rules,
             bool convert_name) {
    return pulid::guarded(false, [&] {
        const bool done = convert_unguarded(input_path, vae_path, output_path, output_type, tensor_type_rules, convert_name);
        pulid::check_loading_cancelled();
        return done;
    });
}
