"""ONNX models as quantization sees them: read, folded, indexed, fed with samples, run."""
