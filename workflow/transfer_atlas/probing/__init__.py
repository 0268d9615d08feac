"""What states know of labels: linear probes and mutual information."""
