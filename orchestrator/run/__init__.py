"""The main path: a plan becomes a run, a run becomes a record. See ``execute``."""
