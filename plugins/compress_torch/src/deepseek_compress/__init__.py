"""Model compression to a budget: prune, distill, quantize, lower."""
