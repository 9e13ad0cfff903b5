"""The application `trimodal`: text, pictures and sound of a user's own, told apart in classes."""
