"""What to tell: the report document, the summary for people, the phase lines. Pure but for ``progress``."""
