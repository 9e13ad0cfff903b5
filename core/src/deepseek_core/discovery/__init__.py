"""Finding, isolating and listing plugins; the only package that knows pluggy."""
