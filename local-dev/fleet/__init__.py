"""The whole fleet, run natively on one machine: what `make up`, the demo and the end-to-end tests start."""

from fleet.errors import FleetError as FleetError
from fleet.fleet import Fleet as Fleet
