"""What Prefect's page shows of a run: states, tasks, log lines, artifacts."""
