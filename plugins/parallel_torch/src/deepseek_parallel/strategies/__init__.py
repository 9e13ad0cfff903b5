"""Ways to split a plain `nn.Module` over ranks: replicas, shards, tensors, stages, and mixed."""
