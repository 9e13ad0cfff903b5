"""OpenCL devices: FPGA boards, FPGA emulators, CPU runtimes, GPUs."""
