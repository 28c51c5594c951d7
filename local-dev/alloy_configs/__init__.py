"""Alloy's configurations: what is the same on several VMs is written once, in `parts/`, and each VM's file made from it."""
