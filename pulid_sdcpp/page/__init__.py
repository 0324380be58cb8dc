"""The page of `pulid-sdcpp ui`: Gradio over the same objects that the HTTP endpoints call.

No class here is derived from one of Gradio's components: it would write a file beside the module.
"""
