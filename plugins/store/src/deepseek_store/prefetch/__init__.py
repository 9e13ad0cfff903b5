"""What will be read next: sources that predict, and a gate that lets the useful ones act."""
