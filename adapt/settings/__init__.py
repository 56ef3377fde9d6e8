"""Settings: composed from conf/, resolved for a method, and what is said of a wrong value."""
