"""The service that answers with the version in production, follows it, and says which ledger entry it runs."""
