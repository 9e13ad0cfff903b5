"""Steps of recipes: the SDK's contract over the rooms that do the work."""
