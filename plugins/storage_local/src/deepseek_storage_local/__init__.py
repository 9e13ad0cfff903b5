"""Local disks as storage tiers."""
