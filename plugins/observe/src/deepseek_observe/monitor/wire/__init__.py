"""How events of the engines come from other processes to a monitor."""
