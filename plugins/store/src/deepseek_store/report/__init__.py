"""What is shown: status, the page, metrics, the benchmark."""
