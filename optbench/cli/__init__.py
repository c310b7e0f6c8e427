"""The command line: one file a sub-command, `app` puts them together."""

from .app import main as main
