"""The page that compares trained models: its critical reading, scores, pairs and cases."""
