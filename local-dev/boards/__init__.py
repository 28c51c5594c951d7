"""The dashboards: described here in few words, written as Grafana's JSON by `make boards`."""
