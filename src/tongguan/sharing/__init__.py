"""Information sharing: companies, mandates, API keys; who is told beside the sender."""
