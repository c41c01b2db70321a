"""Distributed ASHA sweeps of CNNs on CIFAR-10 with Ray."""
