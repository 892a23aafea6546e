"""New files for a project: the whole of a small one, one more domain, one more provider."""

from recon.scaffold.write import new_domain, new_project, new_provider

__all__ = ["new_domain", "new_project", "new_provider"]
