"""What the server has: models, people, faces, pictures."""
