"""ONNX models as graphs of stages, and ONNX Runtime on the CPU as a device."""
