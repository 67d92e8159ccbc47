"""
Serve modelgate's own pages: what is in production, the ledger as a timeline, the approval in the browser. `make serve`
mounts them into the embedded server.

    __main__    the server with these pages
    routes      their addresses, on one screen
    home        what is in production, what waits, what ran last
    timeline    a ledger, entry by entry, with what is wrong with it
    approval    the report of what waits, and the button under it
    promotion_process  the promotion that the button starts, as a process
    waiting     what waits, as the runner keeps it in `state.json`
    production  each use case: what is in production, and the promotion that made it so
    records     versions, files and ledgers, read from the store as modelgate reads them from W&B
    mistakes    the pictures of rows that only the candidate gets wrong
    shown       a template as a page

Anyone with a key may have logged what they show, so all of it is untrusted: text is escaped, reports are sanitized.
"""
