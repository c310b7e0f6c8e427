"""Other people's code: found, loaded, and made a subject of its own where nobody declared it."""
