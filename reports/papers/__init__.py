"""Tables in the papers' shape: small YAML files say what they hold, runs and published figures fill them."""
