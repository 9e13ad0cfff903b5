"""Pure decisions: costs and events in, placements with reasons out."""
