"""People who run things by hand beside the schedule, acknowledge, and edit the job."""

from recon.testing.simulation import World

WORLD = World(name="by hand", by_hand=0.9, acks=0.5, edits=0.15, hosts=2)
