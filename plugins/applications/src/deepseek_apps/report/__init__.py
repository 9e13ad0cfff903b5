"""The report of a job: one JSON file and one page that needs nothing else."""
