"""What TensorRT does not take, in pure Python, held against the real parser by the tests.

A rule is a function from a node, or from a whole model, to its problems; `checker` runs them all.
"""
