"""ONNX models as TensorRT sees them: their bytes, types, constants and digest."""
