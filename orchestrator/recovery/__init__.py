"""What to do after a crash: the same harvest and the same teardown, started from the journal."""
