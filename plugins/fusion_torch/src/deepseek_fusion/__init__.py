"""Text, pictures and sound in one model: encoders, ways to join them, losses, export."""
