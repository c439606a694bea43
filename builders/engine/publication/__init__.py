"""Several builds become one data set: opened, joined, chosen from, split over everything, written and described."""
