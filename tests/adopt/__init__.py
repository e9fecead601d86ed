"""Small services of other people, each with a catalogue as a newcomer writes it."""
