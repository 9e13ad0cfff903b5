"""What the filesystem `ds://` is made of: addresses, folders, open files."""
