"""Our side: databases, read in one consistent transaction, in bulk."""
