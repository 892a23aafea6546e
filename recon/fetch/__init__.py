"""The third party's side: from a request to a spool on disk and the certificate of what it holds."""
