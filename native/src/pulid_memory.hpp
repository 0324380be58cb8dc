// How much memory there is to compute in. Linux promises more than it has and ends the process
// that uses it, so what does not fit is refused before it is touched.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#include "ggml-backend.h"

namespace pulid {

// The number after `key` in a file of "key value" lines (or, key "", the first one); -1: none.
inline int64_t read_number(const char* path, const std::string& key = "") {
    std::ifstream file(path);
    std::string word;
    int64_t number = -1;
    if (key.empty()) {
        return file >> number ? number : -1;
    }
    while (file >> word) {
        if (word == key) {
            return file >> number ? number : -1;
        }
    }
    return -1;
}

// Bytes that this process may still use; INT64_MAX where the system does not say.
inline int64_t available_memory() {
    int64_t available       = INT64_MAX;
    const int64_t in_system = read_number("/proc/meminfo", "MemAvailable:");
    if (in_system >= 0) {
        available = (in_system + std::max<int64_t>(0, read_number("/proc/meminfo", "SwapFree:"))) * 1024;
    }
    // A container's limit; pages of files that were read count against it, but can be dropped.
    const int64_t limit = read_number("/sys/fs/cgroup/memory.max");
    const int64_t used  = read_number("/sys/fs/cgroup/memory.current");
    if (limit >= 0 && used >= 0) {
        const int64_t files = read_number("/sys/fs/cgroup/memory.stat", "inactive_file") +
                              read_number("/sys/fs/cgroup/memory.stat", "active_file");
        available = std::min(available, limit - used + std::max<int64_t>(0, files));
    }
    return available;
}

// Whether `bytes` just allocated for `what` on this device can be filled; says in the log if not.
inline bool fits_in_memory(ggml_backend_t backend, size_t bytes, const std::string& what) {
    if (!ggml_backend_is_cpu(backend)) {
        return true;  // a driver refuses by itself
    }
    const int64_t available = available_memory();
    if (static_cast<int64_t>(bytes) <= available) {
        return true;
    }
    LOG_ERROR("out of memory: %s needs %.1f GB, %.1f GB are free", what.c_str(), bytes / 1e9, available / 1e9);
    return false;
}

}  // namespace pulid
