"""Another app on the platform: orders, with a catalogue, a table and migrations of its own."""
