"""Handle promotions: what is approved, who approved it, and the ledger of what followed."""
