"""OpenVINO on the CPU as a device, by its provider for ONNX Runtime."""
