"""Task graphs on mixed devices: list schedulers, an anytime solver, bounds, a checker."""
