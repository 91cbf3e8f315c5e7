"""The exercises of each lesson: tasks, checks, and the mistakes that they must catch."""
