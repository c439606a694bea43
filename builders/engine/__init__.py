"""What every builder stands on: asking teachers, remembering answers, judging rows, releasing data sets."""
