"""Key scenarios as dialogues of named people, told once and played over every transport."""
