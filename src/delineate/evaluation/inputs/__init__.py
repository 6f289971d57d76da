"""What is scored: predictions, references, probability maps and what is known of them."""
