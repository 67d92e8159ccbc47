"""
Pages for a person's browser, at the addresses that the SDK itself prints. They read the store and show it; the only
thing they change is a version's aliases.
"""
