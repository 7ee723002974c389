"""What one stage of the pipeline does, without knowing who schedules it.

plan -> sample -> extract -> score -> compare. No Prefect and no Ray here: `flows/` distributes these.
"""
