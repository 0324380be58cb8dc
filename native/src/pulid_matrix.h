// The buffer type of pulid_matrix.cpp, which is compiled into ggml's CPU backend.
#pragma once

#include "ggml-backend.h"

// Null: this processor has none of the instructions it needs, or PULID_SDCPP_CPU_KERNELS is "none".
ggml_backend_buffer_type_t pulid_matrix_buffer_type(void);
