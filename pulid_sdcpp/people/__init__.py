"""Who is in a picture: how strongly, in which steps, and where."""
