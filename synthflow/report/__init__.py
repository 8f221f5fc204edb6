"""A run for people: tables and pages, from what the catalog says. It computes nothing that a query could not."""
