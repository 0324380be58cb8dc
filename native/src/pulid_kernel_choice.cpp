// Which kernels this processor has the instructions for.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "ggml-impl.h"
#include "pulid_kernels.h"

#if defined(__x86_64__) || defined(_M_X64)

#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif

namespace {

constexpr const char* VARIABLE = "PULID_SDCPP_CPU_KERNELS";

struct Leaf {
    uint32_t eax, ebx, ecx, edx;
};

Leaf cpuid(uint32_t leaf, uint32_t part) {
#ifdef _MSC_VER
    int found[4];
    __cpuid(found, 0);
    if (static_cast<uint32_t>(found[0]) < leaf) {
        return {};
    }
    __cpuidex(found, static_cast<int>(leaf), static_cast<int>(part));
    return {static_cast<uint32_t>(found[0]), static_cast<uint32_t>(found[1]), static_cast<uint32_t>(found[2]), static_cast<uint32_t>(found[3])};
#else
    Leaf found = {};
    __get_cpuid_count(leaf, part, &found.eax, &found.ebx, &found.ecx, &found.edx);
    return found;
#endif
}

// The registers that the operating system saves.
uint64_t saved_registers() {
#ifdef _MSC_VER
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

bool has(uint32_t value, int bit) {
    return (value >> bit) & 1;
}

struct Processor {
    bool avx2 = false, avxvnni = false, avx512vnni = false;
};

// Source of the bits: Intel's Software Developer's Manual, CPUID and XCR0.
Processor processor() {
    Processor found;
    const Leaf basic = cpuid(1, 0);
    if (!has(basic.ecx, 27) || (saved_registers() & 0x06) != 0x06) {  // OSXSAVE; xmm and ymm
        return found;
    }
    const Leaf extended = cpuid(7, 0);
    found.avx2          = has(extended.ebx, 5) && has(basic.ecx, 12) && has(basic.ecx, 29);  // with FMA and F16C
    found.avxvnni       = found.avx2 && extended.eax >= 1 && has(cpuid(7, 1).eax, 4);
    const bool avx512   = has(extended.ebx, 16) && has(extended.ebx, 17) && has(extended.ebx, 30) && has(extended.ebx, 31);  // F, DQ, BW, VL
    found.avx512vnni    = found.avx2 && avx512 && has(extended.ecx, 11) && (saved_registers() & 0xe6) == 0xe6;
    return found;
}

struct Choice {
    const char* name;
    const Kernels* kernels;
};

const Kernels* choose() {
    const Processor here   = processor();
    const Kernels* avx512  = here.avx512vnni ? pulid_kernels_avx512vnni() : nullptr;
    const Kernels* avxvnni = here.avxvnni ? pulid_kernels_avxvnni() : nullptr;
    if (avxvnni == nullptr && here.avx512vnni) {
        avxvnni = pulid_kernels_avx512vl();
    }
    const Kernels* avx2    = here.avx2 ? pulid_kernels_avx2() : nullptr;
    const Choice choices[] = {{"avx512vnni", avx512}, {"avxvnni", avxvnni}, {"avx2", avx2}};

    const Kernels* best = nullptr;
    for (const Choice& choice : choices) {
        if (best == nullptr) {
            best = choice.kernels;
        }
    }
    const char* asked = std::getenv(VARIABLE);
    if (asked == nullptr || *asked == '\0') {
        return best;
    }
    if (std::strcmp(asked, "none") == 0) {
        return nullptr;
    }
    const char* used = best == nullptr ? "ggml's kernels are" : best->name;
    for (const Choice& choice : choices) {
        if (std::strcmp(asked, choice.name) == 0) {
            if (choice.kernels == nullptr) {
                GGML_LOG_WARN("%s is %s, which this processor or the compiler of this library lacks: %s used instead\n", VARIABLE, asked, used);
            }
            return choice.kernels != nullptr ? choice.kernels : best;
        }
    }
    GGML_LOG_WARN("%s is %s, expected avx512vnni, avxvnni, avx2 or none: %s used\n", VARIABLE, asked, used);
    return best;
}

}  // namespace

const Kernels* pulid_kernels(void) {
    static const Kernels* const chosen = choose();
    return chosen;
}

#else

const Kernels* pulid_kernels(void) {
    return nullptr;
}

#endif
