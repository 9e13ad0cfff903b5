#!/bin/bash
# A launch script with what debugging sessions leave behind.
export NCCL_SOCKET_IFNAME=^docker0
export NCCL_IB_DISABLE=1
export NCCL_PROTO=LL128
export NCCL_IB_TIMEOUT=22
export NCCL_DEBUG=debug
torchrun --nnodes=4 --nproc-per-node=8 train.py
