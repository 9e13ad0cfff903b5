"""Training: fine-tuning, distillation, batch-normalization statistics, and what accuracy it left.

Only `evaluate`, `intervals` and `onnx_files` are free of torch.
"""
