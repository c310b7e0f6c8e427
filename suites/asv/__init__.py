"""What asv runs, from the checkout: `make asv`."""
