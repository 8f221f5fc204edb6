"""`openai`: servers that speak the OpenAI protocol, one or a pool, found or started here."""
