"""Online scheduling: events in, decisions out; no clock, thread, I/O or random of its own."""
