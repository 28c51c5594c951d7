"""Real servers, and fakes of what a service talks to."""
