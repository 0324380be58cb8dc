"""This computer and this user: files, folders, pictures as files, memory."""
