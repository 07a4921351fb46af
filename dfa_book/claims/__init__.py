"""The thesis's claims, the measures that test them, and the one judge of all of them."""
