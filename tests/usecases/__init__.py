"""All that is particular to one model, a folder each: what a team owns."""
