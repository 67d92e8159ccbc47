"""
The stages of the loop, one script each: `python -m steps.build --help`. None imports another; artifacts join
them.
"""
