"""What learns from the data. Every file here is a command; needs the extra `train`."""
