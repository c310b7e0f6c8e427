"""A failure as a few lines of plain torch: what a law did is kept while it runs again, and the text is made of that."""
