"""What a person sees of a result. Frames in, text out: nothing here knows Spark."""
