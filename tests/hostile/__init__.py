"""Files made to run code, to exhaust memory or time, or to draw on the terminal, in every place that the command line reads."""
