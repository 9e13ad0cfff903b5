"""When the next failure comes, and how often to save until then."""
