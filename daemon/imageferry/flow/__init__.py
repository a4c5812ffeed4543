"""The loops, in walking order; they know ports only."""
