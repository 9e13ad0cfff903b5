"""The harness of the corpus: a model runs in ONNX Runtime alone and in the SDK; both must agree."""
