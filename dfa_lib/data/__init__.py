"""The learning problems: parity of stacked digits (bundled or MNIST), and synthetic clusters."""
