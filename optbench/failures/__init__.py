"""What becomes of a failure: its smallest case, its likely class of mistake, and a script that shows it."""
