"""The server: pictures, people and models over HTTP, for many clients and their own formats."""
