"""Models: one small interface, answered by the embedded model, Ollama or any OpenAI-compatible server."""
