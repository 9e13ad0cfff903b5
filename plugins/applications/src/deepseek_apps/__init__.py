"""Applications of the SDK: click prediction, defect inspection, translation."""
