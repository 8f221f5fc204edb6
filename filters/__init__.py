"""What annotates rollouts: keep or drop, with a reason. A filter never removes a row."""
