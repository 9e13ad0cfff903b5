"""Settings for all tests."""

from hypothesis import settings

# Timing never decides a test: a busy machine must not fail one.
settings.register_profile("sdk", deadline=None)
settings.load_profile("sdk")
