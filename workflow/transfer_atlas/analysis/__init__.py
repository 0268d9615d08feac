"""From runs to tables, intervals and findings."""
