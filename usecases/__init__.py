"""Hold what a team owns: everything that is specific to one model, one folder per model."""
