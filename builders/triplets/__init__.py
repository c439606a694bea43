"""Step 1 of distilling instructions: 〈role, instruction, input〉 triplets, written by a teacher and judged by us."""
