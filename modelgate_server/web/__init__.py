"""
Serve pages for people, at the addresses that the SDK itself prints. They show the content of the store. They only
change aliases, and rename or delete runs.
"""
