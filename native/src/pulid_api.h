// The functions this project adds to the engine's C interface. pulid_sdcpp/native/library.py
// mirrors every declaration here. Functions that can fail return false or null, and
// pulid_last_error() then says why, for the calling thread.
#pragma once

#include "stable-diffusion.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PULID_API_VERSION 5

SD_API int32_t pulid_api_version(void);

// Once per process, before anything else: failures and messages of ggml go where ours go, and
// backends that are modules of their own (GGML_BACKEND_DL) are loaded from this folder.
SD_API void pulid_init(const char* library_folder);

// Never null; "" after success.
SD_API const char* pulid_last_error(void);
// Whether the last failure was a cancellation.
SD_API bool pulid_was_cancelled(void);

typedef struct {
    const char* name;
    const char* description;
    int32_t type;  // enum ggml_backend_dev_type: 0 CPU, 1 GPU, 2 integrated GPU, 3 accelerator
    uint64_t memory_free;
    uint64_t memory_total;
} pulid_device_t;

SD_API int32_t pulid_device_count(void);
SD_API bool pulid_get_device(int32_t index, pulid_device_t* device);
// Where the modules of the next new_sd_ctx() and new_upscaler_ctx() on this thread go; null or "":
// the engine's choice.
SD_API void pulid_set_placement(const char* diffusion, const char* clip, const char* vae, const char* upscaler);

// Whether the next new_sd_ctx() on this thread may keep matrices in the CPU's own fast layouts.
SD_API void pulid_set_repack(bool wanted);

// Told, on the calling thread, when generate_image() begins to "encode", "denoise", "decode",
// or with the second pass ("hires").
typedef void (*pulid_stage_callback_t)(const char* stage, void* data);
SD_API void pulid_set_stage_callback(pulid_stage_callback_t callback, void* data);

// From any thread: makes the running generate_image() return null within one model evaluation.
SD_API void pulid_set_cancelled(sd_ctx_t* ctx, bool cancelled);

// From any thread: makes a running new_sd_ctx() or convert() fail as soon as the tensors that are
// being read are done; false again before the next one.
SD_API void pulid_set_loading_cancelled(bool cancelled);

// Of an identity in Flux: all have the same number of tokens.
typedef struct {
    int64_t hidden;
    int64_t heads;
    int64_t tokens;
    int32_t type;  // enum ggml_type of a and b: F32, F16 or Q8_0
    int32_t n_layers;
    const int32_t* is_single;  // per layer: after a single-stream block?
    const int32_t* block;      // per layer: the block's index
} pulid_layout_t;

// Of an identity in the UNet of SDXL.
typedef struct {
    int32_t n_layers;
    const char** names;       // per layer: of the attention, "input_blocks.4.1.transformer_blocks.0.attn2"
    const int64_t* channels;   // per layer: its width, heads * 64
    int32_t type;              // enum ggml_type of k and v: F32 or F16
} pulid_unet_layout_t;

typedef struct {
    int32_t slot;
    float weight;
    int32_t start_step;
    int32_t end_step;
    bool negative;
    bool second_pass;     // of the larger picture (hires), not of the first
    const float* region;  // per image token what the contribution is multiplied by; null: 1
    int64_t region_size;
    // Of a UNet only:
    const float* region_coarse;  // the region on the grid of its last level, half as wide and high
    int64_t region_coarse_size;
    int32_t tokens;      // of the identity
    int32_t zeros;       // zero tokens after them
    int32_t projection;  // 0: none, 1: ortho, 2: ortho_v2
} pulid_use_t;

SD_API bool pulid_set_layout(sd_ctx_t* ctx, const pulid_layout_t* layout);
SD_API bool pulid_set_unet_layout(sd_ctx_t* ctx, const pulid_unet_layout_t* layout);
// Makes slots until there are `count`, those that are new for identities of `tokens` tokens.
SD_API bool pulid_reserve_slots(sd_ctx_t* ctx, int32_t count, int32_t tokens);
// a: rows of `hidden`, b: rows of heads * tokens, both of the layout's type, contiguous.
SD_API bool pulid_write_layer(sd_ctx_t* ctx, int32_t slot, int32_t layer, const void* a, const float* bias, const void* b);
// k: (heads, rows, 64), v: (heads, 64, rows), both of the layout's type, contiguous; as many rows as
// pulid_unet_rows() says, those after the tokens are zero.
SD_API bool pulid_write_unet_layer(sd_ctx_t* ctx, int32_t slot, int32_t layer, const void* k, const void* v);
SD_API int64_t pulid_unet_rows(int32_t tokens);
// cfg_start_step, hires_cfg_start_step: the first step with true CFG in each pass.
SD_API bool pulid_set_uses(sd_ctx_t* ctx, const pulid_use_t* uses, int32_t count, int32_t cfg_start_step, int32_t hires_cfg_start_step);

// One evaluation of the diffusion model as a generation would do it. x and out: (channels, height,
// width) of latents; context: (n_context, context_width); y: pooled vector; all float32.
SD_API bool pulid_evaluate(sd_ctx_t* ctx,
                           const float* x, int64_t width, int64_t height, int64_t channels,
                           float timestep,
                           const float* context, int64_t n_context, int64_t context_width,
                           const float* y, int64_t y_width,
                           float guidance, int32_t step, bool negative,
                           float* out);

// Bytes of parameters the diffusion model holds, identities included.
SD_API uint64_t pulid_diffusion_params_bytes(const sd_ctx_t* ctx);

// Enlarges a picture of 3 bytes a pixel by get_upscale_factor(upscaler); null: it failed. It stops
// as generate_image() does, within one tile, when `ctx` is cancelled.
SD_API uint8_t* pulid_upscale(sd_ctx_t* ctx, upscaler_ctx_t* upscaler, const uint8_t* pixels, uint32_t width, uint32_t height);
SD_API void pulid_free_pixels(uint8_t* pixels);

// Frees what generate_image() returned; false: it did not return that pointer.
SD_API bool pulid_free_images(sd_image_t* images);

#ifdef __cplusplus
}
#endif
