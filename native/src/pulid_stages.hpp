// Around the steps of a generation: what it is doing, told to whoever asked
// (pulid_set_stage_callback); the encoded prompts of the last generations, so that pictures of one
// prompt are not encoded again and again; and step caches that know of a change.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <utility>

#include "conditioner.hpp"

namespace pulid {

inline void (*stage_callback)(const char*, void*) = nullptr;
inline void* stage_callback_data                  = nullptr;

inline void enter_stage(const char* stage) {
    if (stage_callback != nullptr) {
        stage_callback(stage, stage_callback_data);
    }
}

// The last few; with T5 one takes 4 to 8 MB.
class ConditionCache {
public:
    // `loras`: what else changes an encoding.
    SDCondition get(Conditioner& conditioner, int n_threads, const ConditionerParams& params, const std::string& loras) {
        const bool has_references = params.ref_images != nullptr && !params.ref_images->empty();
        const std::string key     = std::to_string(params.clip_skip) + "/" + std::to_string(params.width) + "/" +
                                std::to_string(params.height) + "/" + std::to_string(params.zero_out_masked) + "/" + loras + "/" + params.text;
        for (auto entry = entries.begin(); entry != entries.end() && !has_references; ++entry) {
            if (entry->first == key) {
                entries.splice(entries.begin(), entries, entry);
                return entries.front().second;
            }
        }
        SDCondition condition = conditioner.get_learned_condition(n_threads, params);
        if (!has_references) {
            entries.emplace_front(key, condition);
            if (entries.size() > MAX_ENTRIES) {
                entries.pop_back();
            }
        }
        return condition;
    }

private:
    static constexpr size_t MAX_ENTRIES = 8;
    std::list<std::pair<std::string, SDCondition>> entries;
};

// What a step cache (EasyCache, TaylorSeer, Spectrum, ...) repeats is of no use for a step with other
// identities: that step is computed, and the cache begins anew.
template <typename Runtime>
void forget_steps(Runtime& caches) {
    const int easycache_skipped = caches.easycache.total_steps_skipped;
    const int cachedit_skipped  = caches.cachedit.total_steps_skipped;
    caches.easycache.reset_runtime();
    caches.cachedit.reset_runtime();
    const int ucache_skipped  = caches.ucache.total_steps_skipped;
    const int ucache_expected = caches.ucache.expected_total_steps;
    caches.ucache.reset_runtime();
    caches.ucache.total_steps_skipped    = ucache_skipped;
    caches.ucache.expected_total_steps   = ucache_expected;
    caches.easycache.total_steps_skipped = easycache_skipped;  // for the log
    caches.cachedit.total_steps_skipped  = cachedit_skipped;
    caches.spectrum.H_buf.clear();
    caches.spectrum.T_buf.clear();
    caches.spectrum.num_cached = 0;
}

// A LoRA's file and strength as part of a key.
template <typename Lora>
std::string describe_loras(const Lora* loras, size_t count) {
    std::string text;
    for (size_t i = 0; i < count; i++) {
        text += std::string(loras[i].path) + ":" + std::to_string(loras[i].multiplier) + ";";
    }
    return text;
}

}  // namespace pulid
