"""A picture as a file: its name, its text, and how it is made again."""
