"""Finding, isolating and listing plugins; the only room that knows pluggy."""
