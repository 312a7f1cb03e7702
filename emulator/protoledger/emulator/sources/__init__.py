"""What an emulation replays: made-up rooms, data sets, CSV files; how rows are dealt."""
