"""Encoders as ONNX files with their state as inputs and outputs, and streams through them."""
