"""The way of a read: memory, log, cache, tiers, and what is fetched ahead."""
