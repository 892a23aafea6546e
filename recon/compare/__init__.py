"""The comparison: both sides made canonical and joined, in the engine, in bulk and in bounded memory."""
