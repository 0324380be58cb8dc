"""The engine in a process of its own: messages, the process, its client; others that are asked."""
