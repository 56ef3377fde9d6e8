"""Settings: composition from conf/, resolution for a method, and error messages."""
