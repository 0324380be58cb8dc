"""Everything that holds for PuLID on SDXL alone."""
