"""The laws as a pytest suite: `pytest --pyargs optbench.suites.conformance --algo adam --impl path/file.py:Class`."""
