"""Building: the library in a process of its own, and what comes of it."""
