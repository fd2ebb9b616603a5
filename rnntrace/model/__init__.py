"""What a network is made of: its specification, weights, layouts and signals. numpy alone."""
