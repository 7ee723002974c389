"""The environment of the processes that we start: quiet, offline, and away from the user's home.

Prefect, Ray and MLflow send usage statistics by default, log much, and keep their state in the home
folder. Their settings are environment variables, read when they are imported or started, so this is
called first. What the user has set is left as it is.
"""

from __future__ import annotations

import os

_DEFAULTS = {
    # "true" exactly: MLflow ignores "1".
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Prefect's ephemeral server loses task records, and each Ray worker would start one of its own.
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # Its lines of what could not be sent have pages of data; ours say it (`flows.servers.server_watch`).
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
    # The default of 10 s is how long a worker may take to notice a new run.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Ray would end the process after 60 s without its cluster; the heartbeat is sooner, and tables are made.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # transformers and huggingface_hub
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def quiet_environment() -> dict[str, str]:
    """Apply the defaults to `os.environ` where nothing is set, and return what is then in force."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    return {name: os.environ[name] for name in _DEFAULTS}
