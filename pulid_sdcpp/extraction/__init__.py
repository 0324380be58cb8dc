"""Photos become identities; the one room that knows `pulid_extractor`."""
