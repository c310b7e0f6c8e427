"""What a run leaves behind: results, records, where it took place, and two records compared."""
