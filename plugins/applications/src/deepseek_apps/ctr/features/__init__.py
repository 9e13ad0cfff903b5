"""Features, fitted on the training part alone: bins, logarithms, vocabularies, target statistics."""
