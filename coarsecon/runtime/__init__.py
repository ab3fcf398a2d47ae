"""Where the program runs: device, ranks, progress, threads, and files written completely or not at all."""
