"""From a prompt row and a method to exact token ids, stop strings and the shared prefix."""
