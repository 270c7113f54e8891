"""The Grow tab."""
