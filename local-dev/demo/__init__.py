"""The demo: pages in through the gateway, questions answered, and a check of everything that it promises."""
