"""The pull-request checklist, checked: what code can decide is decided by code, the rest is shown to a person."""
