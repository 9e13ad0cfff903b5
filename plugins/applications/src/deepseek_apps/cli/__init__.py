"""`ds-sdk app`: applications, from a user's data to files that answer."""
