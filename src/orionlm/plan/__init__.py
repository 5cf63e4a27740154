"""Laws of training, fitted to runs: what a budget buys, and how sure that is."""
