"""Boosted trees as arrays: fitted by scikit-learn, evaluated by numpy, written as ONNX."""
