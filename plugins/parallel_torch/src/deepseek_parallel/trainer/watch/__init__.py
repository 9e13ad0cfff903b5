"""What people and tools see of a training: a line, a log, events of TensorBoard, a page."""
