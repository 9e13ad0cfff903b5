"""What GPUs are here, which of them this process sees, and what keeps one from being used."""
