"""What several commands share: options, printing, the configuration file, times, prices, logs, signals."""
