"""Real models out of packages of the public index."""
