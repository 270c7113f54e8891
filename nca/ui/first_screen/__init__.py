"""The first screen: a living automaton in the served HTML, before Gradio has loaded."""
