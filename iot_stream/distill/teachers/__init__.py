"""Teachers: whatever tells the class of a window, with more to go by than the student has."""
