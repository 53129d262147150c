"""kt: carry what a local model does well in chat over to what it does as an agent."""
