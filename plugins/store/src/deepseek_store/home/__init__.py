"""The home folder: creates and opens it, locks it, and keeps what lies in it."""
