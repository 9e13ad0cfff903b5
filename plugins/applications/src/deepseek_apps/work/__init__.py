"""The work folder of a job: what was done in it, with what, and by one process at a time."""
