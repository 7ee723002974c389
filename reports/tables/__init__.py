"""Tables in Markdown."""
