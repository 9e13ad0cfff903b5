"""Click prediction: crosses of features, stacked, calibrated and exported with their preprocessing."""
