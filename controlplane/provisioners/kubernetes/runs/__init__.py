"""Creates, repairs, drains and ends the runs of clusters."""
