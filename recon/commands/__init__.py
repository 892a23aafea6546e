"""The commands, one noun or verb per file; each is thin, and imports what is heavy when it runs."""
