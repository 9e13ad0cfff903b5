"""`ds-sdk fpga`: what is proven of the kernels, and building them for boards."""
