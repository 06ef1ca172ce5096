"""Start and stop of the engines that run on one machine."""
