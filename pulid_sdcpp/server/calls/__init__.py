"""What endpoints and the page both call, and how answers are made."""
