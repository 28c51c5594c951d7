"""What every HTTP interface of the fleet has: problems, admission, health, its document."""
