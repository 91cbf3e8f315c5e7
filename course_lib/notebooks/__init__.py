"""What keeps the notebooks in order and shows them; lessons import none of it."""
