"""Types, contracts, keys, store, plan and statistics; no torch, Prefect, Ray or MLflow."""
