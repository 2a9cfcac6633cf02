"""Captioned pictures as people have them: read, checked and counted."""
