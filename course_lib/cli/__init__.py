"""What `python -m course_lib …` runs; nothing else of the course imports it."""
