"""The broker: one small child process per run that outlives a killed main process.

It writes the event log, and when the main process is gone without having said so, it finishes the run: it becomes
``aienv recover``, which harvests and tears down with the same code as the run itself.
"""
