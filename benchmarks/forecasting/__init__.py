"""Parts of the benchmark that compares forecasts with readings."""
