"""The backward pass: gradients of every gate, state and parameter."""
