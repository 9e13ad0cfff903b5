"""What a machine is made of, out of the files that other tools write."""
