"""
The steps of the pipeline, one script per step: `python -m steps.build --help`. No step imports another: they pass data
on as artifacts.
"""
