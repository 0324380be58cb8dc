"""HTTP: sockets, the door that every request comes through, the application, the log."""
