"""A parameter server: workers come and go, and none waits for all others."""
