"""Reports: the figures as frozen data first, then one file per rendering."""
