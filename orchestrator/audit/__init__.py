"""The event log of a run: one canonical JSON line per event, each naming the hash of the one before."""
