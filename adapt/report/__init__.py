"""Tables, plots and figures from finished runs: reads folders, returns frames, text and figures, writes nothing."""
