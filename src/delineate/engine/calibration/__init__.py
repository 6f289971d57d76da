"""What `calibrate` measures on validation cases: masks, logits, temperatures, and the Dice to expect."""
