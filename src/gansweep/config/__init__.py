"""The configuration: compose it, check it, and build the objects that it names."""
