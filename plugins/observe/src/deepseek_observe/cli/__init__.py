"""`ds-sdk profile`: parse, call one function, print."""
