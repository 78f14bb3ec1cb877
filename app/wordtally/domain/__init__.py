"""What a word is, how words are ranked, and how they are counted exactly once. Independent of AWS."""
