"""One ONNX file: raw numbers and texts in, a probability out."""
