"""
Find out who approved. This package is the only place in the steps that knows GitHub.

A promotion without an approval is refused, whatever the verdict. An approval has one of four forms:

name    a person at their own machine gives their name, after reading the report
browser the same, by the button under the report on the pages of this machine
github  on GitHub, a required reviewer of the use case's environment let this run continue
merge   on GitHub, if the plan has no required reviewers: the approving review of the pull request that was merged

A person who started the workflow run, or wrote what it judges, does not count.

GitHub creates a missing environment without any protection, so a job that names one proves nothing. That is why promote
asks GitHub who approved. The answer is input from outside: every type is checked, and an answer of another shape is a
refusal.
"""
