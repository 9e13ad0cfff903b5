"""The flavors of TensorRT behind one seam: full TensorRT, TensorRT-RTX, and a labeled fake."""
