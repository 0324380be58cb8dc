"""What can be asked for; nothing is read or written here."""
