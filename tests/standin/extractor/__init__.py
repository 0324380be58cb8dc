"""Stand-ins for the networks that the extractor runs."""
