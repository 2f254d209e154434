"""Credentials on the main process's side: where their values come from, where they may go, and what makes that work inside."""
