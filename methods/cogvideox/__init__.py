"""CogVideoX: its pipeline, schedule, sampling and session, and text to video."""
