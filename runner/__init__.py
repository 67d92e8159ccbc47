"""
The same steps in the same order as on GitHub, on this machine.

    __main__      flags and environment; nothing else reads them
    loop          what `run`, `approve` and `rollback` do, from the plan to the last line
    pipeline      the order of the steps as plain data, and what each hands to the next
    processes     a step as a process; how whatever was started is ended, and nothing else
    status        what is in production, what waits; and the audit
    prune         what may be deleted is shown, and a person says yes
    order         what a person asked for
    places        where steps are executed: processes or containers, the embedded server or the person's own W&B
    containers    a step, and the server, as containers; how whatever was left of them is found
    images        what the images are made of, their tags, how they are built
    engine        the container engine: is there one, and may we use it
    prepared      an interpreter that imports the SDK once and runs each step in a fork of itself
    embedded      the W&B-compatible server of this folder, for as long as a run needs it
    environment   which variables a step gets to see
    folder        `.modelgate/`: what the runner keeps between two invocations
    approval      the question to a person
    progress      lines, the plan, the report, the summary

The runner knows module names, flags, exit codes and JSON. It imports neither steps nor server.
"""
