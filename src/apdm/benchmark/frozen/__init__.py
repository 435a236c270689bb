"""The frozen evaluation of docs/evaluation.md: its scenario, results as they are made, and their figures."""
