"""The extractor's networks as ONNX Runtime computes them: NumPy in, NumPy out, no PyTorch."""
