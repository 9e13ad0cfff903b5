"""S3 object stores as a storage tier."""
