"""Rules: what operators do to the ids of channels, by operator."""
