"""What to keep where, in which pieces, and when to move it: all pure.

Nothing here knows the clock, a file or a thread: equal input, equal output.
"""
