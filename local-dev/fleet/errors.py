"""What can go wrong with the fleet. Each message is written for the person at the terminal."""


class FleetError(RuntimeError):
    """The fleet could not do what was asked."""


class StartError(FleetError):
    """A process did not become ready; the message ends with its log."""


class BusyError(FleetError):
    """Another `up` or `down` of the same fleet is under way."""
