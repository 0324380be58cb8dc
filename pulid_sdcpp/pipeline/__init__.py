"""PulidPipeline: one model, its turns, and the passes over a picture."""
