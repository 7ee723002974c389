"""The command `reelbench` and what its subcommands share."""
