"""The control plane: admin API, health, and what operators show and change."""
