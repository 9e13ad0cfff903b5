"""Readers: each fills a `Timeline` from one format, in pieces, and checks what comes in."""
