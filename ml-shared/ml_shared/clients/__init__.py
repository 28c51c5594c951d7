"""Calls between the fleet's services."""
