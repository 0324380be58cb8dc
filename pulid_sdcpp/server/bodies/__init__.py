"""What clients send, read within limits: JSON, forms, pictures, names; pure."""
