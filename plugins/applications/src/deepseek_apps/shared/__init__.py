"""What applications share: reading, splitting, leaks, intervals, trainings as child processes."""
