"""Several models as one: folds, a logistic regression over their log odds, calibration."""
