"""A run's Prefect flow, its pool of workers and what starts them: Ray or processes of this machine."""
