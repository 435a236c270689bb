"""The published tables: scenarios, the cells that they are made of, and exams of what a model still can."""
