"""What the steps share, one file a noun."""
