"""Published model files: presets, downloads, licenses."""
