"""The k nearest gallery rows of each query, by kernels of our own."""
