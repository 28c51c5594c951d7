"""The client without its input and output: requests are made here and answers read; a transport carries them."""
