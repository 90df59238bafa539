"""Information sharing: the registry of companies, their roles and mandates, their API keys."""
