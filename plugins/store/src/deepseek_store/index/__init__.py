"""The index of a store: what versions, segments and stripes there are; the log can rebuild it."""
