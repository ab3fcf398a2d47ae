"""Device, ranks, progress, threads, settings, and files that are written completely or not at all."""
