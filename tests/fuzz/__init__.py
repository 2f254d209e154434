"""Coverage-guided fuzzing, by hand; ``test_targets.py`` runs the same targets for a moment in every test run."""
