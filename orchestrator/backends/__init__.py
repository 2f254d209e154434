"""The kinds of place: ``docker``, ``local``, and ``memory`` for tests. See ``protocol``."""
