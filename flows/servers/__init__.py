"""The servers that we start: Prefect's, for a run or to stay."""
