"""The loaded model: what it is asked for, and the identities it holds."""
