"""What is shipped so that the first try needs no Hub: a small base and a set of dialogues."""
