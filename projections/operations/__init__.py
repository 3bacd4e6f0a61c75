"""What operators decided: who ordered what, when and why, and the orders that the runners carry out."""
