"""The protocols that are shipped, a YAML file each; `metrics.protocol` reads them."""
