"""The protocols of measuring, the extractors of features, and the metrics on them."""
