"""The rules, one a file: `check(fleet)` yields a finding for each thing that it looked at."""
