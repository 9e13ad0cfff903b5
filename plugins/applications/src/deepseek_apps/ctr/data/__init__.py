"""A user's file as tables: columns typed, the target read, rows split, leaks looked for."""
