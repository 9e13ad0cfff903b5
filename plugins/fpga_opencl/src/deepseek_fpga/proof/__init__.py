"""What can be proven of a kernel without a board, rung by rung, each figure with its label."""
