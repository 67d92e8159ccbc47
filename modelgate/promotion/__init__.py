"""What an approval is of, who gave it, and the ledger of what followed."""
