"""Text-video prediction: from a prompt and the first frames."""
