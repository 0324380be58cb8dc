"""What is true of one family of models only."""
