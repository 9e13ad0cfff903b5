"""Click prediction: crosses and trees, stacked, calibrated, exported with their preprocessing."""
