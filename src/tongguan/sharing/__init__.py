"""Information sharing: so far the registry of companies, their roles and mandates."""
