"""Encoders need torch; where it is not installed, their tests are left out."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["encoders", "export", "test_protocol.py"]
