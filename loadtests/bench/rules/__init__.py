"""The rules benchmark: what our rules cost beside Sloth's, and what compiling them costs."""
