"""What is computed: the replay, the trace it leaves, and the comparison with a framework. numpy alone."""
