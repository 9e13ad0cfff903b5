"""E5: what the tools of vendors report of a kernel: one module a vendor, pure functions of text."""
