"""Times of collectives: logs of nccl-tests, bandwidths, and a model that is fitted to them."""
