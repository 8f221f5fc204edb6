"""What an answer is: from its text to a number, a set, an interval, words, and the like."""
