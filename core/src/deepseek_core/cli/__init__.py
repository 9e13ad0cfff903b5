"""`ds-sdk`: parse, call one function, print."""
