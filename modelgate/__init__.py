"""The product as a library: no flags, no YAML, no server. docs/architecture.md says which room may import which."""
