"""What the chapters show: figures with their captions and alt texts, tables, and answers."""
