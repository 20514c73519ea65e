"""The papers' datasets: which there are, how they are fetched, whether what is here is right."""
