"""The stages of the loop, a script each: `python -m steps.build --help`. None imports another; artifacts join them."""
