"""sd-server's endpoints and our own, and the documents about all."""
