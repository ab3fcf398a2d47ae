"""The training loop and everything a run needs to be resumed."""
