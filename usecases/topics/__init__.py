"""Topics: what is a line of a conversation about? Texts, six topics."""
