"""Steps of recipes: the SDK's contract over the packages that do the work."""
