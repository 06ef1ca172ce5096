"""What engines, GPUs and machines report about themselves, read as samples of one name each."""
