"""What is wrong with a recipe's data, found before it is trained on; nothing is ever changed."""
