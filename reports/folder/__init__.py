"""The report as a static folder: one page, every clip beside it."""
