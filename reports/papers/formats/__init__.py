"""What a table of a paper is written as."""
