# Writes build_info.json: what `pulid-sdcpp doctor` says about the compiled library.
set(BUILD_OPTIONS "")
foreach(OPTION SD_CUDA SD_HIPBLAS SD_METAL SD_VULKAN SD_OPENCL SD_SYCL SD_MUSA
        GGML_NATIVE GGML_LLAMAFILE GGML_OPENMP GGML_CPU_REPACK GGML_BACKEND_DL GGML_CPU_ALL_VARIANTS)
    if(${OPTION})
        set(VALUE true)
    else()
        set(VALUE false)
    endif()
    string(APPEND BUILD_OPTIONS "    \"${OPTION}\": ${VALUE},\n")
endforeach()
string(REGEX REPLACE ",\n$" "\n" BUILD_OPTIONS "${BUILD_OPTIONS}")
file(READ "${NATIVE}/source_pin.json" SOURCE_PIN)
string(JSON ENGINE_PACKAGE GET "${SOURCE_PIN}" package)
string(JSON ENGINE_VERSION GET "${SOURCE_PIN}" version)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/build_info.json"
"{
  \"engine\": \"${ENGINE_PACKAGE} ${ENGINE_VERSION}\",
  \"compiler\": \"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\",
  \"system\": \"${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR}\",
  \"options\": {
${BUILD_OPTIONS}  }
}
")
