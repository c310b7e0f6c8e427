"""Operators: what they make of sources and of classes. `catalogue` lists the mutants that there are."""
