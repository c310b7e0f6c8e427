"""What a law is given to work with: the implementation under test, problems, and what has to come of them."""
