"""Executing, checking, building, printing and teaching: from notebooks to the site."""
