"""Which preset suits a computer, and how long a picture takes there."""
