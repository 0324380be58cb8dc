// The buffer type of pulid_matrix.cpp, which is compiled into ggml's CPU backend.
#pragma once

#include "ggml-backend.h"

// Null: this CPU backend was compiled for a processor without the instructions it needs.
ggml_backend_buffer_type_t pulid_matrix_buffer_type(void);
