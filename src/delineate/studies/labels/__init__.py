"""The study of label efficiency: one method, several ways of training, several numbers of labels."""
