"""Lists that others wrote (text, tables, JSON, YAML): read strictly, or refused with the place."""
