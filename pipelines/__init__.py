"""Recipes: the pipeline files that ship with Synthflow. Run them by name, or copy them and change them."""
