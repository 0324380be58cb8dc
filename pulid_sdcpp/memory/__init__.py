"""What goes where on a graphics card."""
