"""Corrections as rows: what an event asks of one, whether it is so already, and how it is written."""
