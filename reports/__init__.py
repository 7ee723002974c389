"""What is made from a run's tables: tables in Markdown, an HTML report, contact sheets, MLflow."""
