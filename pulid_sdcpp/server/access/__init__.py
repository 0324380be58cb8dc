"""Who may reach the server, and who calls: keys, sessions, Host and Origin."""
