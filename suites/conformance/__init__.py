"""The laws as a pytest suite: `pytest --pyargs optbench.suites.conformance --algo adam --impl path/file.py:Class`.

pytest's own options work with it: -k on the names of algorithms, classes, laws and cases, --junitxml, -n.
"""
