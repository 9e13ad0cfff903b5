"""Features, fitted on the training part alone: bins, logarithms, vocabularies, statistics."""
