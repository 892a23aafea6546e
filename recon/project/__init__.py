"""A project: its folder, its settings, and the jobs, providers and publishers found for it."""

from recon.project.inventory import Entry
from recon.project.jobs import Broken
from recon.project.project import Project, find_file

__all__ = ["Broken", "Entry", "Project", "find_file"]
