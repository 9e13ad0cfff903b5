"""Plans on the devices of a Ray cluster: an actor for each device, tensors by reference."""
