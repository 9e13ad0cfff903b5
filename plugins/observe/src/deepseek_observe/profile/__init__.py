"""What a timeline says: pure functions of it, no file and no clock."""
