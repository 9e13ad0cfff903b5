"""Advice on hardware, topology and the settings of NCCL, RCCL and Gloo; nothing is opened here."""
