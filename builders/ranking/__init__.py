"""From prompts and several answers to each, over a judge's marks or people's rankings, to pairs."""
