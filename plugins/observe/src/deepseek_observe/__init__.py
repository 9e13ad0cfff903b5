"""Where the time of a training went, and what to change: traces, and what they say."""
