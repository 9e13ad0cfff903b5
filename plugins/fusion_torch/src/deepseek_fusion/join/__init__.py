"""Ways to join the tokens of several modalities, behind one interface."""
