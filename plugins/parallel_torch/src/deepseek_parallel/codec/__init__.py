"""The largest values of a gradient as bytes: which ones, where they are, how large they are."""
