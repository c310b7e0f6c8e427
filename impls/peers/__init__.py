"""Adapters to optimizers that are not ours."""
