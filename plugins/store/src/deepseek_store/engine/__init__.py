"""The thin I/O around the pure halves: what a store does when it is open."""
