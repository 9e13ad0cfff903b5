"""Translation: from parallel text to a small model that other tools load."""
