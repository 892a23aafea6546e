"""Readers, one file per broker."""
