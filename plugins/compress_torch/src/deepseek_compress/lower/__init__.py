"""Files for runtimes: the float export, int8 for ONNX Runtime and for TensorRT, coverage."""
