"""Consultations of two models over a case: the doctor's side, the conversation, and what is measured on it."""
