"""
Run the same steps in the same order as on GitHub, on this machine.

    __main__      flags and environment variables; nothing else reads them
    loop          what `run`, `approve` and `rollback` do, from the plan to the last line
    pipeline      the order of the steps as plain data, and what each passes to the next
    processes     a step as a process; how the runner ends everything that it started, and nothing else
    status        what is in production, what waits; and the audit
    prune         shows what can be deleted, asks a person, and deletes it
    options       what a person asked for
    executors     where steps run: processes or containers, the embedded server or the user's own W&B
    containers    a step and the server as containers; how to find leftovers
    images        the images: what is in them, their tags, how they are built
    engine        the container engine: whether there is one that you may use
    prepared      an interpreter that imports the SDK once and runs each step in a fork of itself
    embedded      the W&B-compatible server of this folder, while a run needs it
    environment   which variables a step sees
    folder        `.modelgate/`: what the runner keeps between two invocations
    approval      the question to a person
    progress      lines, the plan, the report, the summary

The runner knows module names, flags, exit codes and JSON. It imports neither steps nor server.
"""
