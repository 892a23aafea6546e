"""The other end: what an application needs to take corrections in, in any order and however often they come."""
