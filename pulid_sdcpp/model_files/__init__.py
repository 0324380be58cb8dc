"""What a model file is, and whether the engine can load it; LoRAs."""
