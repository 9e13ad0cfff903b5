"""Rules on environment variables: what to unset, and what to set."""
