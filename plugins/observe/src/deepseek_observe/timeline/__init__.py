"""The one record that readers of traces fill, and arithmetic on its intervals."""
