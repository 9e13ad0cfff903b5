"""ONNX stages on a GPU: ONNX Runtime with its CUDA provider."""
