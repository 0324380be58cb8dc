"""A body becomes one normalised request, whatever family it is of; pure."""
