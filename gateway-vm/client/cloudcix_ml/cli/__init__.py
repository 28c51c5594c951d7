"""The command line: a file a group of commands, all of them thin over the client."""
