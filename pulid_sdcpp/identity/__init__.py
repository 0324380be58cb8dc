"""The identity file, its store, which face is taken, and how several photos become one."""
